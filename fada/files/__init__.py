"""Files and folders of the user's machine: plain names, writing whole, folders that are ours, locks.

Everything that fada writes goes through here. Two promises: a reader sees the old content or the new one, never a part
of it, also after a power cut; and nothing is removed or replaced that fada did not make.
"""
