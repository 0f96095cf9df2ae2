//! The rules of the source tree, checked: who may name whom, where unsafe lives, how long a file
//! is, who reads the environment and the clock. The floors are drawn in docs/ARCHITECTURE.md.

#[path = "floors/checker.rs"]
mod checker;
#[path = "floors/source.rs"]
mod source;

use source::{Reference, Source, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A top-level module names those on lower floors, itself, and its peers on the same floor.
struct Row {
    name: &'static str,
    floor: u8,
    peers: &'static [&'static str],
}

const fn row(name: &'static str, floor: u8, peers: &'static [&'static str]) -> Row {
    Row { name, floor, peers }
}

const TABLE: &[Row] = &[
    row("error", 0, &["config", "wire"]),
    row("guard", 0, &[]),
    row("clock", 0, &[]),
    row("wire", 0, &["guard"]),
    row("sys", 0, &[]),
    row("metrics", 0, &["clock"]),
    row("network", 0, &[]),
    row("config", 0, &["sys", "network"]),
    row("limit", 0, &["error", "clock", "config", "metrics", "network", "wire"]),
    row("memory", 0, &["error", "guard", "clock", "config", "metrics", "sys"]),
    row("driver", 1, &[]),
    row("json", 1, &[]),
    row("login", 1, &[]),
    row("play", 1, &[]),
    row("session", 1, &[]),
    row("reactor", 2, &[]),
    row("doctor", 2, &[]),
    row("net", 3, &[]),
    row("client", 4, &[]),
    row("service", 5, &[]),
    row("tls", 6, &[]),
    row("lane", 6, &[]),
    row("compat", 6, &[]),
    row("gate", 7, &[]),
    row("http", 7, &["gate"]),
    row("requests", 8, &[]),
    row("websocket", 8, &[]),
    row("cluster", 8, &[]),
    row("console", 8, &[]),
    row("loginserver", 8, &[]),
    row("msgserver", 8, &[]),
    row("sim", 8, &[]),
    row("servers", 9, &[]),
    row("bin", 10, &[]),
];

/// The files (or folders of that name) that hold unsafe code; see docs/UNSAFE.md.
const UNSAFE: &[&str] = &["sys", "memory/pool", "memory/queue", "memory/envelope", "driver/uring"];

/// Who reads the process's environment.
const ENVIRONMENT: &[&str] = &["config"];

/// Who reads a clock; all others get the time as an argument.
const CLOCKS: &[&str] = &["driver"];

/// Modules that the servers may name beside what the crate's root re-exports.
const PUBLIC: &[&str] =
    &["prelude", "wire", "net", "json", "limit", "requests", "http", "service", "tls", "websocket"];

const LINES_MAX: usize = 500;

/// Longer files, each with the reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn every_source_file_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
    assert!(sources.iter().any(|source| source.path == "lib.rs"), "src/ was read");
    let complaints = check(&sources, LONG);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn read(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).expect("src/ can be listed") {
        let path = entry.expect("src/ can be listed").path();
        if path.is_dir() {
            read(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("below src/").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
            sources.push(Source::new(&name, &text));
        }
    }
}

/// All that is wrong with the sources, a line each.
fn check(sources: &[Source], long: &[(&str, &str)]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        check_floor(source, &mut complaints);
        check_unsafe(source, &mut complaints);
        check_calls(source, &mut complaints);
    }
    check_circles(sources, &mut complaints);
    check_length(sources, long, &mut complaints);
    complaints.sort();
    complaints
}

fn find_row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

fn check_floor(source: &Source, complaints: &mut Vec<String>) {
    let module = source.module();
    let Some(top) = module.first().filter(|top| *top != "prelude") else { return };
    let Some(row) = find_row(top) else {
        complaints.push(format!(
            "src/{}: `{top}` is on no floor; add it to the table in tests/floors.rs",
            source.path
        ));
        return;
    };
    // `crate` in a program is the program.
    if row.name == "bin" || source.is_tests() {
        return;
    }
    for reference in source.references() {
        let refusal =
            if row.name == "servers" { server(&reference) } else { floor(row, &reference) };
        if let Some(reason) = refusal {
            complaints.push(format!("src/{}:{}: {reason}", source.path, reference.line));
        }
    }
}

/// Why a module on `row` may not name `reference`.
fn floor(row: &Row, reference: &Reference) -> Option<String> {
    let path = reference.path.join("::");
    let Some(target) = reference.path.first().and_then(|top| find_row(top)) else {
        return Some(format!("`crate::{path}` is the door; name the module behind it"));
    };
    let allowed = target.name == row.name
        || target.floor < row.floor
        || row.peers.contains(&target.name) && target.floor == row.floor;
    (!allowed).then(|| {
        format!(
            "{} (floor {}) may not name {} (floor {}): `crate::{path}`",
            row.name, row.floor, target.name, target.floor
        )
    })
}

/// Why a server may not name `reference`: it has what a user has.
fn server(reference: &Reference) -> Option<String> {
    let top = reference.path.first()?;
    let root_item = find_row(top).is_none() && top != "*";
    if top == "servers" || root_item || PUBLIC.contains(&top.as_str()) {
        return None;
    }
    let path = reference.path.join("::");
    Some(format!("a server uses the public interface only, not `crate::{path}`"))
}

/// Is the file one of `places` or in a folder of that name?
fn lives_in(source: &Source, places: &[&str]) -> bool {
    let module = source.module().join("/");
    places.iter().any(|place| {
        module.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn check_unsafe(source: &Source, complaints: &mut Vec<String>) {
    let tokens = source.tokens(true);
    let mut complain = |line, text| complaints.push(format!("src/{}:{line}: {text}", source.path));
    for (at, (line, token)) in tokens.iter().enumerate() {
        if *token != Token::Word("unsafe".to_owned()) {
            continue;
        }
        if !lives_in(source, UNSAFE) {
            complain(*line, format!("unsafe lives in {} only", UNSAFE.join(", ")));
        }
        let needs_comment = match tokens.get(at + 1) {
            Some((_, Token::Sign('{'))) => true,
            Some((_, Token::Word(word))) => word == "impl",
            _ => false,
        };
        if needs_comment && !has_safety(source, *line) {
            complain(*line, "unsafe without a `// SAFETY:` comment right before it".to_owned());
        }
    }
}

/// Does the statement on `line` (from 1) carry a SAFETY comment, or stand right below one?
fn has_safety(source: &Source, line: usize) -> bool {
    let code: Vec<&str> = source.code.lines().map(str::trim).collect();
    let comments: Vec<&str> = source.comments.lines().map(str::trim).collect();
    let is_safety = |at: usize| comments[at].contains("SAFETY:");
    if is_safety(line - 1) {
        return true;
    }
    let goes_on = |at: &usize| !code[*at].is_empty() && !code[*at].ends_with([';', '{', '}', ',']);
    let first = line - 1 - (0..line - 1).rev().take_while(goes_on).count();
    let is_comment = |at: &usize| code[*at].is_empty() && !comments[*at].is_empty();
    (0..first).rev().take_while(is_comment).any(is_safety)
}

/// Reads of the environment and of clocks.
fn check_calls(source: &Source, complaints: &mut Vec<String>) {
    for window in source.tokens(true).windows(3) {
        let [(line, Token::Word(first)), (_, Token::PathSeparator), (_, last)] = window else {
            continue;
        };
        let reads_environment = first == "env"
            && match last {
                Token::Word(word) => word.contains("var"),
                sign => matches!(sign, Token::Sign('{' | '*')),
            };
        if reads_environment && !lives_in(source, ENVIRONMENT) {
            complaints
                .push(format!("src/{}:{line}: only config touches the environment", source.path));
        }
        let reads_clock = matches!(first.as_str(), "Instant" | "SystemTime")
            && *last == Token::Word("now".to_owned());
        if reads_clock && !lives_in(source, CLOCKS) {
            complaints.push(format!("src/{}:{line}: only the driver reads a clock", source.path));
        }
    }
}

/// Within a folder, its files and folders name each other without a circle. A parent is excepted:
/// it names its children and holds what they share.
fn check_circles(sources: &[Source], complaints: &mut Vec<String>) {
    let modules: BTreeSet<Vec<String>> = sources.iter().map(Source::module).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_tests()) {
        let from = source.module();
        for Reference { mut path, .. } in source.references() {
            while !path.is_empty() && !modules.contains(&path) {
                path.pop();
            }
            let shared = from.iter().zip(&path).take_while(|(a, b)| a == b).count();
            if shared > 0 && shared < from.len() && shared < path.len() {
                let edges = graph.entry(from[..=shared].join("/")).or_default();
                edges.insert(path[..=shared].join("/"));
            }
        }
    }
    complaints.extend(circle(&graph).map(|circle| format!("a circle: {}", circle.join(" -> "))));
}

/// A way through the graph that ends where it began.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit<'a>(
        node: &'a str,
        graph: &'a BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> bool {
        let is_circle = way.contains(&node);
        way.push(node);
        if is_circle || done.contains(node) {
            return is_circle || way.pop().is_none();
        }
        if graph.get(node).into_iter().flatten().any(|next| visit(next, graph, way, done)) {
            return true;
        }
        way.pop();
        done.insert(node);
        false
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    graph.keys().find(|node| visit(node, graph, &mut way, &mut done))?;
    let last = way.last()?;
    let start = way.iter().position(|node| node == last)?;
    Some(way[start..].iter().map(|node| (*node).to_owned()).collect())
}

fn check_length(sources: &[Source], long: &[(&str, &str)], complaints: &mut Vec<String>) {
    for source in sources {
        let excepted = long.iter().any(|(path, _)| *path == source.path);
        let Source { path, lines, .. } = source;
        if *lines > LINES_MAX && !excepted {
            complaints
                .push(format!("src/{path}: {lines} lines, over {LINES_MAX}; cut it by ideas"));
        }
        if *lines <= LINES_MAX && excepted {
            complaints.push(format!("src/{path}: no longer long; take it off the list"));
        }
    }
    for (path, _) in long.iter().filter(|(path, _)| sources.iter().all(|s| s.path != *path)) {
        complaints.push(format!("src/{path}: gone; take it off the list"));
    }
}
