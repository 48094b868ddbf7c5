"""Tables and policies as text, figures and videos.

Text and files need only NumPy; `figures` and `planning_video` use matplotlib, and are imported when one is drawn.
"""
