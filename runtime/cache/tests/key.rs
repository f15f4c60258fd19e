//! Keys: equal exactly when what they were made of is.

use expect_test::expect;
use proptest::prelude::*;
use routir_cache::{Key, write_canonical};
use serde_json::{Map, Value, json};

fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(&mut out, value);
    out
}

/// Any JSON, its objects' members in any order.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Few digits: by default `serde_json` reads long ones to the last bit but one.
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        "\\PC{0,8}|[\\x00-\\x7f]{0,8}|[a-c]".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-d]{0,2}|\\PC{0,3}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same value with the members of every object in the opposite order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(reversed).collect(),
        Value::Object(object) => Value::Object(
            object
                .iter()
                .rev()
                .map(|(name, value)| (name.clone(), reversed(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn canonical_text_is_json_of_the_same_value(value in values()) {
        let text = canonical(&value);
        let back: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&back, &value, "{}", text);
        prop_assert_eq!(canonical(&back), text);
    }

    #[test]
    fn the_order_of_members_does_not_matter(value in values()) {
        prop_assert_eq!(canonical(&value), canonical(&reversed(&value)));
    }

    #[test]
    fn texts_are_equal_only_if_values_are(a in values(), b in values()) {
        prop_assert_eq!(canonical(&a) == canonical(&b), a == b);
    }

    #[test]
    fn no_text_passes_for_a_field(namespace in "\\PC*", a in "[\\x00-\\x7f]*", b in "[\\x00-\\x7f]*") {
        let two = Key::builder(&namespace).text("a", &a).text("b", &b).build();
        let one = Key::builder(&namespace).text("a", &format!("{a}\",\"b\":\"{b}")).build();
        let none = Key::builder(&format!("{namespace}\",\"a\":\"{a}")).text("b", &b).build();
        prop_assert!(two != one && two != none && one != none);
    }
}

#[test]
fn a_key_is_readable() {
    let mut params = Map::new();
    params.insert(
        "z".into(),
        json!({"b": [1, 1.0, -0.0, true, null], "a": "\u{1}\n\"\\é/"}),
    );
    params.insert("a".into(), json!({}));
    let key = Key::builder("search/bm25")
        .text("query", "what \"is\" it")
        .count("limit", 10)
        .texts("ids", ["a", "b"])
        .value("subset", &Value::Null)
        .object("params", &params)
        .build();
    expect![[r#""search/bm25","query":"what \"is\" it","limit":10,"ids":["a","b"],"subset":null,"params":{"a":{},"z":{"a":"\u0001\u000a\"\\é/","b":[1,1.0,-0.0,true,null]}}"#]]
    .assert_eq(key.as_str());
}

#[test]
fn shorthands_are_the_values_they_stand_for() {
    let short = Key::builder("n")
        .text("a", "x\ty")
        .count("b", 7)
        .texts("c", ["p", "q"])
        .build();
    let long = Key::builder("n")
        .value("a", &json!("x\ty"))
        .value("b", &json!(7))
        .value("c", &json!(["p", "q"]))
        .build();
    assert_eq!(short, long);
    let object = json!({"b": 1, "a": 2});
    assert_eq!(
        Key::builder("n")
            .object("o", object.as_object().unwrap())
            .build(),
        Key::builder("n").value("o", &object).build()
    );
}

#[test]
fn what_differs_has_another_key() {
    let base = |namespace: &str| Key::builder(namespace).text("query", "q");
    let keys = [
        base("a").build(),
        base("b").build(),
        base("a").text("query", "q").build(),
        base("a").count("limit", 1).build(),
        base("a").text("limit", "1").build(),
        base("a").value("limit", &json!(1.0)).build(),
        base("a").texts("limit", []).build(),
        base("a").texts("limit", [""]).build(),
        base("a").digest("limit", [] as [&str; 0]).build(),
        base("a").digest("limit", ["", "1"]).build(),
        base("a").digest("limit", ["1", ""]).build(),
        base("a").digest("limit", ["1"]).build(),
        base("b").digest("limit", ["1"]).build(),
        Key::builder("a").build(),
    ];
    for (i, a) in keys.iter().enumerate() {
        for b in &keys[i + 1..] {
            assert_ne!(a, b);
        }
    }
}

#[test]
fn a_digest_is_the_same_everywhere() {
    let key = Key::builder("score")
        .digest("passages", ["a", "bc"])
        .build();
    expect![[r#""score","passages":"sha256:9a8acca1b6c6c0befd3fbc756aed625da998c998f7252e738c4ef061906b9b21""#]].assert_eq(key.as_str());
}
