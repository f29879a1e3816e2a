"""The course in a real browser: JupyterLab, Chromium, a keyboard and a mouse.

Chromium, or Chrome, is found on the PATH, or where `$MINDDPM_BROWSER` says. Without one
these tests are skipped, unless `MINDDPM_BROWSER=required`. They leave a table and
pictures of every explorer in build/browser/.
"""
