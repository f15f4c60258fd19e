//! Views of a cluster whose workers said this and that.
