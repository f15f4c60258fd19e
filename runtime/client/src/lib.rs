//! A typed client of RoutIR servers, over REST and gRPC.
