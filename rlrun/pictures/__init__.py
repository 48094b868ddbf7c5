"""Tables, policies and films as text, figures and GIFs, from what agents and runs hold.

Text and files need numpy alone; `figures` and `planning_film` import matplotlib, and are imported when one is drawn.
"""
