"""Signed checkpoints: what a log was at a size, said so that it cannot be taken back.

A checkpoint note is three lines (origin, size, root of the tree) and signatures, in the texts of
C2SP: signed-note and tlog-checkpoint. Here are their forms (`note`, `checkpoint`, `keys`), the keys
of this user (`keyfiles`), what a store keeps of them (`identity`, `notes`, `side_file`), anchors
where a note is put out of the operator's reach (`anchors`, `git_anchor`), and what joins them
(`making`, `keeping`).
"""
