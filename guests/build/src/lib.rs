//! Makes components of core modules and builds the example guests.
