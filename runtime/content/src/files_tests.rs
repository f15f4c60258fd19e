//! Files by id, and ids that would rather have others.

use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicBool;

use routir_core::ErrorCode;

use super::*;

static GO_ON: AtomicBool = AtomicBool::new(false);

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (name, text) in [
            ("base/a.jpg", "a"),
            ("base/b_2.jpg", "b2"),
            ("base/b_1.jpg", "b1"),
            ("base/b_10.jpg", "b10"),
            ("base/.b_0.jpg", "hidden"),
            ("base/sub/c.jpg", "c"),
            ("base/odd[1]_1.jpg", "odd"),
            ("secret.jpg", "secret"),
            ("base2/d.jpg", "next door"),
        ] {
            let path = tree.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn view(&self, pattern: &str, glob: bool, base: Option<&str>) -> FilesView {
        let template = self.path(pattern);
        let template = Template::parse(template.to_str().unwrap(), "id").unwrap();
        let place = if glob {
            Place::Glob(template)
        } else {
            Place::Template(template)
        };
        FilesView::open(FilesParts {
            place,
            base_dir: base.map(|base| self.path(base)),
            mime: None,
        })
        .unwrap()
    }
}

fn read(view: &FilesView, id: &str) -> Result<Vec<String>, ErrorCode> {
    let room = Room {
        bytes: 100,
        cancelled: &GO_ON,
    };
    let read = view.read(id, room).map_err(|error| error.code())?;
    assert_eq!(read.mime.as_deref(), Some("image/jpeg"));
    let text = |part: &bytes::Bytes| String::from_utf8(part.to_vec()).unwrap();
    Ok(read.parts.iter().map(text).collect())
}

#[test]
fn one_file_or_all_that_match_by_name() {
    let tree = Tree::new();
    for base in [None, Some("base")] {
        let one = tree.view("base/{id}.jpg", false, base);
        assert_eq!(read(&one, "a").unwrap(), ["a"]);
        assert_eq!(read(&one, "sub/c").unwrap(), ["c"]);
        for absent in [
            "z",
            "a/z",
            "sub",
            "",
            "a\0",
            &"x".repeat(300),
            &"y".repeat(5000),
        ] {
            assert_eq!(
                read(&one, absent),
                Err(ErrorCode::UnknownDocument),
                "{absent:?}"
            );
        }
        let all = tree.view("base/{id}_*.jpg", true, base);
        assert_eq!(read(&all, "b").unwrap(), ["b1", "b10", "b2"]);
        assert_eq!(read(&all, "odd[1]").unwrap(), ["odd"]);
        assert_eq!(read(&all, ".b").unwrap(), ["hidden"]);
        for absent in ["*", "?", "[b]", "z", "", "."] {
            assert_eq!(
                read(&all, absent),
                Err(ErrorCode::UnknownDocument),
                "{absent}"
            );
        }
    }
}

#[test]
fn no_id_leads_out_of_the_base() {
    let tree = Tree::new();
    symlink(tree.path("secret.jpg"), tree.path("base/out.jpg")).unwrap();
    symlink("../secret.jpg", tree.path("base/out2.jpg")).unwrap();
    symlink(tree.path("base2"), tree.path("base/next")).unwrap();
    symlink(tree.path("base/a.jpg"), tree.path("base/in.jpg")).unwrap();
    symlink("loop.jpg", tree.path("base/loop.jpg")).unwrap();
    let view = tree.view("base/{id}.jpg", false, Some("base"));
    for evil in [
        "../secret",
        "out",
        "out2",
        "next/d",
        "sub/../../secret",
        "../base2/d",
        "../zz",
    ] {
        assert_eq!(read(&view, evil), Err(ErrorCode::InvalidArgument), "{evil}");
    }
    assert_eq!(read(&view, "in").unwrap(), ["a"]);
    assert_eq!(read(&view, "sub/../a").unwrap(), ["a"]);
    assert!(read(&view, "loop").is_err());
    let glob = tree.view("base/{id}*", true, Some("base"));
    assert_eq!(read(&glob, "../secret"), Err(ErrorCode::InvalidArgument));
    assert_eq!(read(&glob, "out2"), Err(ErrorCode::InvalidArgument));

    // A glob does not even look there.
    let names = tree.view("base/{id}", true, Some("base"));
    for evil in [
        "../base2/d.jpg",
        "../zz",
        "sub/../../zz",
        "../base2/d.jpg/x",
        "/etc",
    ] {
        assert_eq!(
            read(&names, evil),
            Err(ErrorCode::InvalidArgument),
            "{evil}"
        );
    }
    let deep = tree.view("base/sub/{id}*/a.jpg", true, None);
    assert_eq!(read(&deep, "."), Err(ErrorCode::UnknownDocument));
    // Nothing out there is told apart, whatever is wrong with it.
    symlink("loop2", tree.path("loop2")).unwrap();
    for evil in ["../loop2/x", "../zz", "../secret.jpg/x", "../secret"] {
        assert_eq!(read(&view, evil), Err(ErrorCode::InvalidArgument), "{evil}");
    }

    let bare = tree.view("{id}.jpg", false, None);
    let absolute = tree.path("secret");
    for evil in ["../x", "base/../secret", absolute.to_str().unwrap(), ".."] {
        assert_eq!(read(&bare, evil), Err(ErrorCode::InvalidArgument), "{evil}");
    }
    // Links are the operator's.
    let linked = tree.view("base/{id}.jpg", false, None);
    assert_eq!(read(&linked, "out").unwrap(), ["secret"]);
}

#[test]
fn what_is_no_file_or_too_large_is_refused_and_does_not_hang() {
    let tree = Tree::new();
    let pipe = tree.path("base/pipe.jpg");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    let view = tree.view("base/{id}.jpg", false, Some("base"));
    if made.is_ok_and(|status| status.success()) {
        assert_eq!(read(&view, "pipe"), Err(ErrorCode::InvalidArgument));
    } else {
        use io::Write as _;
        let _ = writeln!(io::stderr(), "SKIPPED: pipes, there is no mkfifo here");
    }
    fs::create_dir(tree.path("base/dir.jpg")).unwrap();
    assert_eq!(read(&view, "dir"), Err(ErrorCode::UnknownDocument));
    fs::write(tree.path("base/large.jpg"), vec![b'x'; 101]).unwrap();
    assert_eq!(read(&view, "large"), Err(ErrorCode::TooLarge));
    fs::write(tree.path("base/large.jpg"), vec![b'x'; 100]).unwrap();
    assert_eq!(read(&view, "large").unwrap()[0].len(), 100);
}

#[test]
fn a_file_that_changes_or_vanishes_is_seen_at_once() {
    let tree = Tree::new();
    let view = tree.view("base/{id}.jpg", false, Some("base"));
    assert_eq!(read(&view, "a").unwrap(), ["a"]);
    fs::write(tree.path("base/a.jpg"), "new").unwrap();
    assert_eq!(read(&view, "a").unwrap(), ["new"]);
    fs::remove_file(tree.path("base/a.jpg")).unwrap();
    assert_eq!(read(&view, "a"), Err(ErrorCode::UnknownDocument));
}

#[test]
fn names_that_are_no_text_are_names() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new();
    let odd = std::ffi::OsStr::from_bytes(b"b_\xff.jpg");
    fs::write(tree.path("base").join(odd), "odd").unwrap();
    fs::write(
        tree.path("base").join(std::ffi::OsStr::from_bytes(b"\xfe")),
        "",
    )
    .unwrap();
    let all = tree.view("base/{id}_*.jpg", true, Some("base"));
    assert_eq!(read(&all, "b").unwrap(), ["b1", "b10", "b2", "odd"]);
    let deep = tree.view("*/{id}/*.jpg", true, None);
    assert_eq!(read(&deep, "sub").unwrap(), ["c"]);
}

#[test]
fn the_operators_own_way_up_is_no_way_out() {
    let tree = Tree::new();
    let view = tree.view("base/../base/{id}.jpg", false, Some("base"));
    assert_eq!(read(&view, "a").unwrap(), ["a"]);
    assert_eq!(read(&view, "z"), Err(ErrorCode::UnknownDocument));
}

#[test]
fn a_file_that_may_not_be_read_is_the_servers_fault() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new();
    let closed = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(tree.path("base/a.jpg"), mode).unwrap();
    };
    closed(0);
    if fs::read(tree.path("base/a.jpg")).is_ok() {
        use io::Write as _;
        let _ = writeln!(io::stderr(), "SKIPPED: permissions, this is root");
        return;
    }
    for base in [None, Some("base")] {
        let view = tree.view("base/{id}.jpg", false, base);
        assert_eq!(read(&view, "a"), Err(ErrorCode::EngineFailure));
    }
    closed(0o644);
}
