"""Reports: scores and curves of many runs, their statistics with intervals over seeds, tables, pictures and a page.

`selection` says which runs a report is about, `scores` reads a run, `comparable` refuses what must not be pooled,
`groups` sorts runs into tasks and groups, `targets` are scores that count as solved. `statistics` knows arrays only;
`summaries` computes what `figures` draws. `contents` and `atari_suite` say what stands in a report, `cells` writes its
numbers, `layout` makes Markdown and HTML of it, and `writing` the files.
"""
