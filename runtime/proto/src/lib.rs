//! The gRPC contracts as types, clients and servers: RoutIR's, of both of its levels, and our
//! additions.
//!
//! Guards: every byte is what RoutIR's stubs expect. Generated from `proto/` at build time; what is
//! written by hand is [`PassageValue`], which settles what two levels of the contract mean by the
//! same bytes. Must never know: anything but the wire.
//!
//! Maps of scores are lists of entries here, which is the same on the wire: a ranking is written
//! best first and read in the order in which its peer wrote it, repeated documents and all.

mod passage;

pub use passage::PassageValue;
pub use routir::v1;
pub use routir_rt::v1 as rt;

/// The contract as an encoded `FileDescriptorSet`, with everything that it imports: for reflection.
pub const CONTRACT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.bin"));

mod routir {
    /// RoutIR's contract, package `routir.v1`.
    pub mod v1 {
        #![allow(
            missing_docs,
            unused_qualifications,
            clippy::all,
            clippy::allow_attributes_without_reason,
            reason = "generated; what is documented is the contract"
        )]
        include!(concat!(env!("OUT_DIR"), "/routir.v1.rs"));
    }
}

mod routir_rt {
    /// What this server adds, package `routir_rt.v1`.
    pub mod v1 {
        #![allow(
            missing_docs,
            unused_qualifications,
            clippy::all,
            clippy::allow_attributes_without_reason,
            reason = "generated; what is documented is the contract"
        )]
        include!(concat!(env!("OUT_DIR"), "/routir_rt.v1.rs"));
    }
}
