//! Types, clients and servers from the contracts in `proto/`, without a `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;
use prost_types::FileDescriptorProto;
use prost_types::source_code_info::Location;

/// A link to the contracts at the top of the repository, so that they are part of the package.
const ROOT: &str = "proto";
const FILES: [&str; 2] = ["routir/v1/routir.proto", "routir_rt/v1/pipelines.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let mut contract = protox::compile(FILES, [ROOT])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("contract.bin"), contract.encode_to_vec())?;

    for file in &mut contract.file {
        keep_order_of_scores(file);
    }
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .bytes(".")
        .emit_rerun_if_changed(false)
        .compile_fds(contract)?;
    Ok(())
}

/// Makes lists of what are maps of scores, which is the same on the wire and keeps an order.
fn keep_order_of_scores(file: &mut FileDescriptorProto) {
    let mut places: Vec<Vec<i32>> = Vec::new();
    for (at, message) in (0..).zip(&mut file.message_type) {
        for (nested_at, nested) in (0..).zip(&mut message.nested_type) {
            if nested.name() == "ScoresEntry" {
                nested.options = None;
                // The numbers of the fields that lead there in the descriptor.
                let place = vec![4, at, 3, nested_at];
                let fields = (0..).zip(&nested.field);
                places.extend(fields.map(|(field, _)| [&place[..], &[2, field]].concat()));
                places.push(place);
            }
        }
    }
    // Whatever is generated is looked up among what is documented.
    let undocumented = places.into_iter().map(|path| Location {
        path,
        ..Location::default()
    });
    let documented = file.source_code_info.get_or_insert_default();
    documented.location.extend(undocumented);
}
