//! Forged manifests: names that are paths, texts that are no texts, floods of parameters.

use crate::forged::{Forged, Param};
use crate::house::{End, House, limits, try_component};

async fn refuse(change: impl FnOnce(&mut Forged), reason: &'static str) {
    let mut forged = Forged::honest();
    change(&mut forged);
    try_component(forged.component(), End::Refused(reason), &limits()).await;
}

fn param(name: &str) -> Param {
    Param {
        name: name.into(),
        kind: 1,
        default: None,
        description: b"a number".to_vec(),
    }
}

/// Otherwise the tests below prove nothing.
#[tokio::test]
async fn an_honest_one_is_let_in() {
    let house = House::new();
    let mut forged = Forged::honest();
    forged.params = Some(vec![
        Param {
            default: Some(b"60".to_vec()),
            ..param("k")
        },
        param("weight"),
    ]);
    let admitted = house.admit(forged.component(), &limits()).await.unwrap();
    assert_eq!(admitted.component.manifest().name, "evil");
    assert_eq!(
        admitted.component.manifest().defaults.count("k").unwrap(),
        Some(60)
    );
    house.is_sound().await;
}

#[tokio::test]
async fn names_that_are_no_names() {
    for name in [
        "",
        "../../x",
        "/etc/passwd",
        "..",
        ".",
        "-rf",
        "9lives",
        "a b",
        "a\nb",
        "a\0b",
        "a\u{202e}b",
        "é",
        "a/b",
        "{evil}RRF",
        "RRF>>x",
    ] {
        let mut forged = Forged::honest();
        forged.name = name.into();
        let house = House::new();
        let error = house
            .admit(forged.component(), &limits())
            .await
            .map(drop)
            .unwrap_err();
        crate::house::refused(&error, "name");
        let said = error.problems().iter().map(|p| p.message.as_str());
        let said: String = said.chain([error.message()]).collect();
        assert_eq!(
            said.chars().find(|c| c.is_control() && *c != '\n'),
            None,
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn a_name_of_a_megabyte() {
    refuse(|forged| forged.name = vec![b'a'; 1 << 20], "name").await;
}

#[tokio::test]
async fn a_name_that_is_not_utf8() {
    refuse(|forged| forged.name = vec![0xff, 0xfe], "utf-8").await;
}

#[tokio::test]
async fn versions_that_are_no_versions() {
    for version in [
        "",
        "1",
        "1.0",
        "1.0.x",
        "latest",
        "1.0.0 ",
        "../1.0.0",
        "99999999999999999999.0.0",
    ] {
        refuse(|forged| forged.version = version.into(), "version").await;
    }
    refuse(|forged| forged.version = vec![b'1'; 1 << 20], "version").await;
}

#[tokio::test]
async fn a_description_of_a_megabyte() {
    refuse(
        |forged| forged.description = vec![b'a'; 1 << 20],
        "description",
    )
    .await;
}

#[tokio::test]
async fn a_description_that_draws_on_terminals() {
    let mut forged = Forged::honest();
    forged.description = b"fine\x1b[2J\nnext line".to_vec();
    let house = House::new();
    let admitted = house.admit(forged.component(), &limits()).await.unwrap();
    let description = &admitted.component.manifest().description;
    assert!(description.starts_with("fine"), "{description:?}");
    let control = description.chars().find(|c| c.is_control());
    assert_eq!(control, None, "{description:?}");
}

#[tokio::test]
async fn ten_thousand_parameters() {
    refuse(
        |forged| forged.params = Some((0..10_000).map(|i| param(&format!("p{i}"))).collect()),
        "param",
    )
    .await;
}

#[tokio::test]
async fn one_parameter_twice() {
    refuse(
        |forged| forged.params = Some(vec![param("k"), param("k")]),
        "`k`",
    )
    .await;
}

#[tokio::test]
async fn parameters_with_names_that_are_no_names() {
    for name in ["", "a-b", "a b", "1k", "__proto__\0", "a\nb"] {
        refuse(|forged| forged.params = Some(vec![param(name)]), "param").await;
    }
}

#[tokio::test]
async fn defaults_that_do_not_fit() {
    for default in ["", "not json", "\"text\"", "[1]", "1e999", "NaN", "1 2"] {
        let wrong = Param {
            default: Some(default.into()),
            ..param("k")
        };
        refuse(|forged| forged.params = Some(vec![wrong]), "`k`").await;
    }
}

#[tokio::test]
async fn a_default_that_is_nested_without_end() {
    let nested = Param {
        kind: 5,
        default: Some(vec![b'['; 1 << 20]),
        ..param("k")
    };
    refuse(|forged| forged.params = Some(vec![nested]), "`k`").await;
}

#[tokio::test]
async fn a_default_of_megabytes() {
    let mut text = vec![b'a'; 3 << 20];
    text[0] = b'"';
    *text.last_mut().unwrap() = b'"';
    let huge = Param {
        kind: 5,
        default: Some(text),
        ..param("k")
    };
    refuse(|forged| forged.params = Some(vec![huge]), "`k`").await;
}

#[tokio::test]
async fn a_kind_that_there_is_not() {
    refuse(
        |forged| {
            forged.params = Some(vec![Param {
                kind: 77,
                ..param("k")
            }])
        },
        "describe",
    )
    .await;
}

/// Whoever is called as a native service is, is still only called what its owner publishes it as;
/// here, where nothing is published, the name is as good as any.
#[tokio::test]
async fn the_name_of_a_native_service() {
    let mut forged = Forged::honest();
    forged.name = b"RRF".to_vec();
    let house = House::new();
    let admitted = house.admit(forged.component(), &limits()).await.unwrap();
    assert_eq!(admitted.component.manifest().name, "RRF");
    house.is_sound().await;
}
