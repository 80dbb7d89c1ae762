"""The whole way in one file, step after step, each only where what it is made from has changed. Contents:

==========  ========================================================================
file        the YAML file: every key once, with its meaning
steps       what each step runs, reads and writes
contents    checksums of files and folders
state       what was run with which inputs, and why a step is to run again
run         runs the steps, each in a process of its own
evaluation  the step ``evaluate``: the saved student once more on the test split
report      the step ``report``: one page of all
template    a first file, with comments
dvc         the same steps as stages of DVC
==========  ========================================================================

Every step calls a command of the plugin, by the words that a person would type.
"""
