"""`minddpm grade`: judge the answers in handed-in notebooks."""
