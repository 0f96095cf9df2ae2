//! The checker itself, on small made-up sources that break each rule.

use super::*;

fn complaints(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    check(&sources, &[])
}

/// What is said of one file.
fn one(path: &str, text: &str) -> Vec<String> {
    complaints(&[(path, text)])
}

fn assert_complaint(path: &str, text: &str, part: &str) {
    let said = one(path, text);
    assert!(said.len() == 1 && said[0].contains(part), "{part:?} expected, said: {said:#?}");
}

fn assert_clean(path: &str, text: &str) {
    assert_eq!(one(path, text), Vec::<String>::new(), "{path}: {text}");
}

#[test]
fn the_table_has_no_circle_and_no_double() {
    let mut graph = BTreeMap::new();
    for row in TABLE {
        for peer in row.peers {
            assert!(find_row(peer).is_some_and(|peer| peer.floor == row.floor), "{peer}");
        }
        let peers = row.peers.iter().map(|&peer| peer.to_owned()).collect();
        assert!(graph.insert(row.name.to_owned(), peers).is_none(), "{} is there twice", row.name);
    }
    assert_eq!(circle(&graph), None);
}

#[test]
fn a_higher_floor_is_not_named() {
    for text in [
        "use crate::gate::Gate;",
        "use crate::{memory::pool::Pool, gate::{Gate, watchdog}};",
        "fn f() { crate::gate::open(); }",
        "use super::super::gate;",
        "mod inner { use super::super::super::gate; }",
        "use {std::fmt, crate::gate as door};",
        "type G = Option<crate::gate::Gate<u8>>;",
        "use crate::\n    gate::*;",
    ] {
        let said = one("net/stream.rs", text);
        assert!(!said.is_empty(), "{text}");
        assert!(said[0].contains("net (floor 3) may not name gate (floor 7)"), "{said:?}");
    }
    assert_complaint("net/stream.rs", "\n\nuse crate::gate::Gate;", "src/net/stream.rs:3:");
    assert_clean("gate/mod.rs", "use crate::{net::stream, memory::pool::Pool}; use super::wire;");
}

#[test]
fn a_floor_below_and_the_own_folder_are_named() {
    assert_clean("net/stream.rs", "use crate::driver::Driver; use super::parcel; use self::x::Y;");
    assert_clean("net/stream.rs", "mod inner { use super::gate; use super::super::parcel; }");
    assert_clean("driver/uring/held.rs", "use super::super::operation; use super::Ring;");
}

#[test]
fn one_floor_is_named_only_where_the_table_allows() {
    assert_clean("memory/pool.rs", "use crate::metrics::Counter;");
    assert_complaint("metrics.rs", "use crate::memory::pool::Pool;", "may not name memory");
    assert_complaint("wire/line.rs", "use crate::clock::Now;", "may not name clock");
    assert_complaint("tls/mod.rs", "use crate::lane::Lane;", "may not name lane");
}

#[test]
fn the_door_names_all_and_is_named_by_no_floor() {
    assert_clean("lib.rs", "pub use crate::gate::Gate; pub use self::net::TcpStream;");
    assert_clean("prelude.rs", "pub use crate::gate::Gate;");
    assert_complaint("net/stream.rs", "use crate::Error;", "`crate::Error` is the door");
    assert_complaint("net/stream.rs", "use crate::prelude::*;", "is the door");
    assert_complaint("clock.rs", "use super::*;", "is the door");
}

#[test]
fn an_unknown_module_is_to_be_added_to_the_table() {
    assert_complaint("helpers.rs", "", "add it to the table");
    assert_complaint("helpers/mod.rs", "use crate::gate::Gate;", "add it to the table");
}

#[test]
fn comments_literals_and_tests_name_what_they_like() {
    assert_clean("net/stream.rs", "//! See [`crate::gate`].\n/* crate::gate /* */ crate::gate */");
    assert_clean("net/stream.rs", "const A: &str = \"crate::gate \\\" crate::gate\";");
    assert_clean("net/stream.rs", "const A: &str = r#\"\" crate::gate\"#; const Q: char = '\"';");
    assert_clean("net/stream.rs", "#[cfg(test)]\nmod tests {\n use crate::gate::Gate;\n}\n");
    assert_clean("net/stream.rs", "#[cfg(test)] use crate::gate::{Gate, Watchdog};");
    assert_clean("net/stream.rs", "struct S {\n #[cfg(test)]\n gate: crate::gate::Gate,\n}");
    assert_clean("net/stream/tests.rs", "use crate::gate::Gate;");
    // What comes after them counts.
    for before in [
        "/* */",
        "const A: &str = \"//\";",
        "const C: char = '\\'';",
        "fn f<'a>(x: &'a str, c: char) { c == '{'; }",
        "#[cfg(test)] mod tests { fn f() { { } } }",
        "#[cfg(test)] mod tests;",
        "#[cfg(test)]\n#[allow(x)]\npub(crate) fn f(a: u8, b: u8) -> [u8; 2] { [a, b] }",
        "struct S { #[cfg(test)] a: (u8, u8), b: u8 }",
    ] {
        let text = format!("{before} use crate::gate::Gate;");
        assert_complaint("net/stream.rs", &text, "may not name gate");
    }
}

#[test]
fn files_of_a_folder_form_no_circle() {
    let said = complaints(&[
        ("net/a.rs", "use super::b::B;"),
        ("net/b.rs", "use crate::net::c::{C, D};"),
        ("net/c.rs", "fn f() -> super::a::A {}"),
    ]);
    assert_eq!(said, ["a circle: net/a -> net/b -> net/c -> net/a"]);
    // A folder within counts as one, whichever of its files it is.
    let said = complaints(&[
        ("driver/token.rs", "use super::uring::Ring;"),
        ("driver/uring/mod.rs", "mod held; use held::Held;"),
        ("driver/uring/held.rs", "use crate::driver::token::Token;"),
    ]);
    assert_eq!(said, ["a circle: driver/token -> driver/uring -> driver/token"]);
}

#[test]
fn a_parent_and_its_children_name_each_other() {
    let said = complaints(&[
        ("net/mod.rs", "mod a; mod b; pub(crate) use self::a::A; pub(crate) use self::b::B;"),
        ("net/a.rs", "use super::Shared; use super::b::B;"),
        ("net/b.rs", "use super::{Shared, Other}; #[cfg(test)] use super::a::A;"),
        ("net/b/deep.rs", "use super::B; use crate::net::Shared;"),
    ]);
    assert_eq!(said, Vec::<String>::new());
}

#[test]
fn unsafe_lives_in_its_files_and_is_explained() {
    let explained = "// SAFETY: the kernel keeps it.\nunsafe { f() }";
    for path in ["sys.rs", "memory/pool.rs", "memory/queue/tests.rs", "driver/uring/ring.rs"] {
        assert_clean(path, explained);
    }
    for path in ["net/stream.rs", "memory/pools.rs", "driver/mod.rs", "lib.rs", "bin/skyring.rs"] {
        assert_complaint(path, explained, "unsafe lives in");
    }
    assert_complaint("net/stream.rs", "unsafe fn f() {}", "unsafe lives in");
    assert_complaint("net/stream.rs", "#[cfg(test)] mod t { unsafe fn f() {} }", "unsafe lives");
    assert_clean("net/stream.rs", "#![deny(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";");
}

#[test]
fn an_unsafe_block_has_its_comment_right_before_it() {
    for text in [
        "// SAFETY: a fact,\n// told on two lines.\nlet x =\n    unsafe { f() };",
        "/* SAFETY: a fact. */ unsafe { f() }",
        "// SAFETY: a fact.\n#[allow(x)]\nunsafe impl Send for X {}",
        "call(\n    // SAFETY: a fact.\n    unsafe { f() },\n);",
    ] {
        assert_clean("sys.rs", text);
    }
    for text in [
        "unsafe { f() }",
        "unsafe impl Send for X {}",
        "// It is safe.\nunsafe { f() }",
        "// SAFETY: a fact.\n\nunsafe { f() }",
        "// SAFETY: a fact.\nlet x = 1;\nunsafe { f() }",
        "// SAFETY: a fact.\nf(a,\n  unsafe { f() })",
        "let s = \"SAFETY:\"; unsafe { f() }",
    ] {
        assert_complaint("sys.rs", text, "without a `// SAFETY:` comment");
    }
}

#[test]
fn only_config_reads_the_environment_and_only_the_driver_a_clock() {
    for text in ["std::env::var(\"A\")", "use std::env::{var};", "env::vars_os()", "use env::*;"] {
        assert_complaint("net/stream.rs", text, "only config touches the environment");
        assert_clean("config/cores.rs", text);
    }
    assert_clean("bin/skyring.rs", "std::env::args(); env!(\"A\");");
    for text in ["std::time::Instant::now()", "let t = SystemTime::now();"] {
        assert_complaint("reactor/turn.rs", text, "only the driver reads a clock");
        assert_clean("driver/uring/mod.rs", text);
    }
}

#[test]
fn a_long_file_needs_a_reason_and_a_reason_a_long_file() {
    let [long, short] = [501, 500].map(|lines| "// A line.\n".repeat(lines));
    assert_complaint("net/stream.rs", &long, "501 lines");
    assert_clean("net/stream.rs", &short);
    let excepted = [("net/stream.rs", "a table that is one idea")];
    assert!(check(&[Source::new("net/stream.rs", &long)], &excepted).is_empty());
    assert!(check(&[Source::new("net/stream.rs", &short)], &excepted)[0].contains("no longer"));
    assert!(check(&[], &excepted)[0].contains("gone"));
}

#[test]
fn servers_use_the_public_interface_only() {
    for text in [
        "use crate::{Engine, Config, Gate, Framing::Line};",
        "use crate::prelude::*;",
        "use crate::wire::LengthPrefix;",
        "use crate::net::TcpStream;",
        "use crate::service::Down;",
        "use super::chat::Room;",
    ] {
        assert_clean("servers/echo.rs", text);
    }
    for text in [
        "use crate::memory::pool::Pool;",
        "use crate::gate;",
        "use crate::{Engine, reactor::Turn};",
        "use crate::*;",
        "use super::super::gate::Attendant;",
    ] {
        assert_complaint("servers/echo.rs", text, "public interface only");
    }
}

#[test]
fn programs_name_themselves() {
    assert_clean("bin/skyring.rs", "use crate::options::Options; use skyring::prelude::*;");
}
