//! `query`: what a person sees.

use crate::site::Site;

#[test]
fn ranks_scores_titles_and_snippets_are_shown() {
    let site = Site::new();
    let server = site.serve("configs/quickstart/config.json", &[]);
    let shown = site.succeed(&[
        "query",
        &server.base,
        "java coffee",
        "--pipeline",
        "bm25",
        "--limit",
        "2",
    ]);
    let (head, hits) = shown.split_once('\n').unwrap();
    assert!(head.starts_with("2 documents by bm25%2 in "), "{head}");
    expect_test::expect![[r#"

        1  8.6136  coffee-05  Growing coffee in Indonesia
           Indonesia is among the four or five largest producers of coffee. Most of the crop is robusta from
           smallholders in the south of Sumatra. Arabica comes from the Gayo highlands in the north of that

        2  8.4733  java-03  How coffee came to Java
           Around 1700 the Dutch East India Company began to plant coffee near Batavia, today's Jakarta,
           with seedlings brought from the Malabar coast of India. Within a few decades its plantations were
    "#]].assert_eq(hits);
    assert!(!shown.contains('\u{1b}'), "no colours without a terminal");

    let ran = site.run(&["query", "--server", &server.base, "java coffee"]);
    assert_eq!(ran.status, Some(2));
    expect_test::expect![[r#"
        error: say which with --pipeline; the server has bm25, title, trigram, hybrid, reranked
    "#]]
    .assert_eq(&ran.stderr);

    let ran = site.run(&[
        "query",
        &server.base,
        "x",
        "--pipeline",
        "bm52%3 >> overlap",
    ]);
    assert_eq!(ran.status, Some(2));
    expect_test::expect![[r#"
        error: URL: no service `bm52` that can search
          1 | bm52%3 >> overlap%10
            | ^^^^
          help: did you mean `bm25`?
    "#]]
    .assert_eq(&ran.stderr.replace(&server.base, "URL"));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let site = Site::new();
    let ran = site.run(&["query", "http://127.0.0.1:1", "x"]);
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.stderr.starts_with("error: http://127.0.0.1:1: "),
        "{}",
        ran.stderr
    );
}
