"""The primitives that every architecture shares.

Letters of shapes, in names (`q_bqhd`) and einsums: b batch, t position, q query position, k key position, s source
position, d width or head size (in `bqhd` the head's), h query heads, g key-value heads, r query heads for each
key-value head, m hidden size of the feed-forward, v vocabulary, l blocks, w distinct sliding windows.
"""
