"""The course in a real browser: JupyterLab, Chromium, a keyboard and a mouse.

They run where `MINDDPM_BROWSER` is `required` (Chromium or Chrome is then found on the
PATH) or names a browser, and leave a table and pictures of every explorer in
build/browser/.
"""
