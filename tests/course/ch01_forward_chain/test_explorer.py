"""The explorer of notebook 01: the law that it draws."""

import numpy as np
import pytest

from minddpm.course.ch01_forward_chain import explorer


@pytest.mark.parametrize("where", explorer.CONTROLS[-1].options)
@pytest.mark.parametrize("t", [0, 30, 1000])
def test_the_law_is_scaled_by_the_root_of_its_peak_and_stays_on_its_axis(where, t):
    explorer.draw(t, 1000, where)
    scene = explorer._scene()
    law, x = scene.curve.get_data()
    area = law.sum() * (x[1] - x[0])
    assert area * law.max() == pytest.approx(1, abs=0.01)
    end = scene.curve.axes.get_xlim()[1]
    heights, edges, _ = scene.bars.get_data()
    assert max(law.max(), heights.max()) < end
    assert (heights * np.diff(edges)).sum() == pytest.approx(area, rel=0.01)
