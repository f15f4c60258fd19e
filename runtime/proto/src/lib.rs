//! The gRPC contracts as types, generated from `proto/`: RoutIR's, and our additions.
