//! A source file taken apart as far as the rules need: comments, code, and the paths it names.
//!
//! No parser, only a lexer that knows comments, literals and braces. It reads what rustfmt wrote.

/// One file below src/.
pub(crate) struct Source {
    /// Relative to src/.
    pub(crate) path: String,
    pub(crate) lines: usize,
    /// The code; comments and the insides of literals are blank. Lines are kept.
    pub(crate) code: String,
    /// The comments, on their lines.
    pub(crate) comments: String,
}

/// A path from the root of the crate, and the line that names it (from 1).
#[derive(Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Word(String),
    PathSeparator,
    Sign(char),
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let (code, comments) = split(text);
        Source { path: path.to_owned(), lines: text.lines().count(), code, comments }
    }

    /// The module's path from the root: `memory/wheel.rs` is memory, wheel; lib.rs is empty.
    pub(crate) fn module(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let mut module: Vec<String> = stem.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
            module.pop();
        }
        module
    }

    /// Tests of their own file, which may name what they like.
    pub(crate) fn is_tests(&self) -> bool {
        self.module().iter().any(|part| part == "tests")
    }

    /// All words and signs with their lines (from 1); with or without the items under `cfg(test)`.
    pub(crate) fn tokens(&self, with_tests: bool) -> Vec<(usize, Token)> {
        if with_tests { tokens(&self.code) } else { tokens(&without_tests(&self.code)) }
    }

    /// Every path that begins with crate, self or super, resolved; tests are left out.
    pub(crate) fn references(&self) -> Vec<Reference> {
        let tokens = self.tokens(false);
        let mut walk = Walk { tokens: &tokens, found: Vec::new() };
        let mut module = self.module();
        // Modules within the file: how deep the braces were outside of each.
        let mut inline = Vec::new();
        let (mut depth, mut at) = (0_usize, 0);
        while at < tokens.len() {
            let token_at = |at: usize| tokens.get(at).map(|(_, token)| token);
            match (&tokens[at].1, token_at(at + 1)) {
                (Token::Word(word), Some(Token::Word(name)))
                    if word == "mod" && token_at(at + 2) == Some(&Token::Sign('{')) =>
                {
                    inline.push(depth);
                    module.push(name.clone());
                }
                (Token::Word(word), Some(Token::PathSeparator))
                    if matches!(word.as_str(), "crate" | "self" | "super") =>
                {
                    let base = if word == "crate" { Vec::new() } else { module.clone() };
                    // The words `super` and `self` are read again as the path's first step.
                    at = walk.path(at + if word == "crate" { 2 } else { 0 }, base);
                    continue;
                }
                (Token::Sign('{'), _) => depth += 1,
                (Token::Sign('}'), _) => {
                    depth = depth.saturating_sub(1);
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        module.pop();
                    }
                }
                _ => {}
            }
            at += 1;
        }
        walk.found
    }
}

/// Reads paths and use-trees out of the tokens.
struct Walk<'a> {
    tokens: &'a [(usize, Token)],
    found: Vec<Reference>,
}

impl Walk<'_> {
    /// Reads a path from `at` on, below `base`. Returns where it ends.
    fn path(&mut self, mut at: usize, mut base: Vec<String>) -> usize {
        let line = self.tokens.get(at).map_or(0, |(line, _)| *line);
        loop {
            match self.token(at) {
                Some(Token::Word(word)) => {
                    match word.as_str() {
                        "super" => drop(base.pop()),
                        "self" => {}
                        _ => base.push(word.clone()),
                    }
                    at += 1;
                    if self.token(at) != Some(&Token::PathSeparator) {
                        break;
                    }
                    at += 1;
                }
                Some(Token::Sign('{')) => return self.list(at + 1, &base),
                Some(Token::Sign('*')) => {
                    base.push("*".to_owned());
                    at += 1;
                    break;
                }
                _ => break,
            }
        }
        self.found.push(Reference { line, path: base });
        at
    }

    /// Reads `a, b::c as d, {e, f}}` from `at` on. Returns where it ends.
    fn list(&mut self, mut at: usize, base: &[String]) -> usize {
        loop {
            match self.token(at) {
                None => return at,
                Some(Token::Sign('}')) => return at + 1,
                Some(Token::Sign(',')) => at += 1,
                Some(Token::Word(word)) if word == "as" => at += 2,
                Some(_) => at = self.path(at, base.to_vec()).max(at + 1),
            }
        }
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at).map(|(_, token)| token)
    }
}

fn tokens(code: &str) -> Vec<(usize, Token)> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (length, token) = if word > 0 {
                (word, Token::Word(rest[..word].to_owned()))
            } else if rest.starts_with("::") {
                (2, Token::PathSeparator)
            } else {
                (first.len_utf8(), Token::Sign(first))
            };
            found.push((number + 1, token));
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// Splits a text into code and comments, each with all its line ends.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let before = at.checked_sub(1).map_or(' ', |last| chars[last]);
        let (length, is_comment) = match rest {
            ['/', '/', ..] => (rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()), true),
            ['/', '*', ..] => (block_comment(rest), true),
            ['"', ..] => (quoted(rest, '"'), false),
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => (quoted(rest, '\''), false),
            ['r', '"' | '#', ..] if !before.is_alphanumeric() || before == 'b' => {
                (raw_string(rest), false)
            }
            _ => (0, false),
        };
        for &c in &rest[..length.max(1)] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if length == 0 { c } else { blank });
            comments.push(if is_comment { c } else { blank });
        }
        at += length.max(1);
    }
    (code, comments)
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The length of `r"..."` or `r#"..."#`, or 0 when it is a raw name such as `r#type`.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut end = vec!['"'];
    end.resize(1 + hashes, '#');
    let body = 2 + hashes;
    let found = rest[body..].windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |at| body + at + end.len())
}

/// Blanks each item under `#[cfg(test)]` or `#[cfg(all(test, ...))]`.
fn without_tests(code: &str) -> String {
    let mut chars: Vec<char> = code.chars().collect();
    let text = code.to_owned();
    let starts = ["#[cfg(test)]", "#[cfg(all(test"];
    for start in starts.iter().flat_map(|start| text.match_indices(start)).map(|(at, _)| at) {
        let start = text[..start].chars().count();
        let end = item_end(&chars, start);
        for c in &mut chars[start..end] {
            if *c != '\n' {
                *c = ' ';
            }
        }
    }
    chars.into_iter().collect()
}

/// Where the item ends whose attributes begin at `start`: at a semicolon, at the brace that closes
/// it, for a field or an argument at its comma.
fn item_end(code: &[char], start: usize) -> usize {
    let mut at = start;
    while let Some(skipped) = attribute_or_visibility(&code[at..]) {
        at += skipped;
    }
    let word: String = code[at..].iter().take_while(|c| c.is_alphabetic()).collect();
    let is_item = "mod fn use impl struct enum const static type trait async unsafe let extern"
        .split(' ')
        .any(|item| item == word);
    let mut depth = 0_usize;
    for (offset, c) in code[at..].iter().enumerate() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' if depth == 0 => return at + offset,
            '}' if depth == 1 => return at + offset + 1,
            '}' | ')' | ']' => depth -= 1,
            ';' if depth == 0 => return at + offset + 1,
            ',' if depth == 0 && !is_item => return at + offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// How much of the front is blank, an attribute, or `pub` with its scope.
fn attribute_or_visibility(code: &[char]) -> Option<usize> {
    match code {
        [c, ..] if c.is_whitespace() => Some(1),
        ['#', '[', ..] => Some(2 + closing(&code[2..], '[', ']')?),
        ['p', 'u', 'b', '(', ..] => Some(4 + closing(&code[4..], '(', ')')?),
        ['p', 'u', 'b', ' ', ..] => Some(3),
        _ => None,
    }
}

/// Where the bracket closes that was opened before.
fn closing(code: &[char], open: char, close: char) -> Option<usize> {
    let mut depth = 1;
    for (at, &c) in code.iter().enumerate() {
        depth += usize::from(c == open);
        depth -= usize::from(c == close);
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}
