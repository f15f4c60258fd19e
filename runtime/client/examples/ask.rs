//! Runs a pipeline on a server, RoutIR's or one of this project, and prints the ranking.
//!
//! ```text
//! cargo run -p routir-client --example ask -- http://localhost:5000 '{bm25, trigram}RRF%5' 'java coffee'
//! ```
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;

use routir_client::{CallOptions, Client, Pipeline, Settings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, pipeline, query] = arguments.as_slice() else {
        return Err("give the server's address, a pipeline and a query".into());
    };
    let client = Client::new(Settings {
        api_key: std::env::var("ROUTIR_API_KEY").ok(),
        ..Settings::new(url)
    })?;
    let call = Pipeline {
        pipeline,
        query,
        collection: None,
        runtime_kwargs: None,
    };
    let answer = client.pipeline(call, CallOptions::default()).await?;
    for (document, score) in answer.scores {
        println!("{score:>10.4}  {document}");
    }
    Ok(())
}
