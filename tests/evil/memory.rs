//! Guests that take memory: their own, tables, stacks, or the host's through what they answer.

use std::fmt::Write;

use routir_config::ExtensionLimits;

use crate::house::{End, limits, try_component, try_evil, try_guest};
use crate::wrap;

#[tokio::test]
async fn growing_without_end() {
    try_evil("memory_bomb", End::Fails("processor time")).await;
}

#[tokio::test]
async fn all_that_it_may_have() {
    // The system hands memory out page by page, on the guest's time; how long that takes is its own
    // affair.
    let limits = ExtensionLimits {
        cpu_ms: 2_000,
        ..limits()
    };
    try_guest(&wrap::text("memory_touch"), End::Answers, &limits).await;
}

#[tokio::test]
async fn four_gigabytes_from_the_start() {
    try_evil("memory_initial", End::Refused("memory")).await;
}

/// Many memories, each under the limit.
#[tokio::test]
async fn the_limit_holds_for_all_memories_together() {
    let text = wrap::text("good");
    let mut more = String::new();
    for _ in 0..40 {
        more.push_str("(memory 64)\n");
    }
    // The parts' own memory must stay the first.
    let parts = text.replace("memory realloc", "realloc");
    let text = format!("{parts}\n(memory (export \"memory\") 1)\n{more}");
    try_component(wrap::component_of(&text), End::Refused("memor"), &limits()).await;
}

#[tokio::test]
async fn tables_without_end() {
    try_evil("table_bomb", End::Fails("processor time")).await;
}

#[tokio::test]
async fn ten_million_table_elements_from_the_start() {
    try_evil("table_initial", End::Refused("table")).await;
}

/// A hundred tables, each under the limit.
#[tokio::test]
async fn the_limit_holds_for_all_tables_together() {
    let mut text = wrap::text("good");
    for _ in 0..100 {
        writeln!(text, "(table 40000 funcref)").unwrap();
    }
    try_component(wrap::component_of(&text), End::Refused("table"), &limits()).await;
}

#[tokio::test]
async fn recursion_without_end() {
    try_evil("recursion", End::Fails("stack")).await;
}

#[tokio::test]
async fn recursion_through_a_table() {
    try_evil("recursion_indirect", End::Fails("stack")).await;
}

#[tokio::test]
async fn a_huge_answer() {
    try_evil("answer_huge", End::Fails("output_bytes")).await;
}

#[tokio::test]
async fn an_answer_that_the_host_copies_many_times() {
    try_evil("hits_amplified", End::Fails("output_bytes")).await;
}

#[tokio::test]
async fn an_answer_of_millions_of_empty_strings() {
    try_evil("hits_empty_strings", End::Fails("output_bytes")).await;
}

#[tokio::test]
async fn a_hundred_thousand_requests_at_once() {
    try_evil("host_list", End::Fails("output_bytes")).await;
}

#[tokio::test]
async fn requests_that_the_host_copies_many_times() {
    try_evil("host_amplified", End::Fails("output_bytes")).await;
}

#[tokio::test]
async fn json_that_grows_when_it_is_parsed() {
    try_evil("host_json", End::Answers).await;
}

#[tokio::test]
async fn one_document_a_million_times() {
    try_evil("handle_flood", End::Fails("")).await;
}
