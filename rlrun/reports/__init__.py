"""Reports: scores and curves of many runs, their statistics with intervals over seeds, tables, pictures and a page.

`statistics` knows arrays only. `scores` reads a run, `comparable` refuses what must not be pooled, `groups` sorts runs
into tasks and groups; `curves` and `summaries` compute what `figures` draws and `tables` and `pages` write.
"""
