//! Workers that are listened to, over real sockets.
