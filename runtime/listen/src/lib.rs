//! Taking connections: heads, slow peers, request ids, keys, ending in order.
