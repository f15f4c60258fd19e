//! The wire of SIE: items, results, arrays of numpy in msgpack, status frames.
