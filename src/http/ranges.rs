//! Which part of a file a peer gets, if any: conditions and ranges (RFC 9110, sections 13 and 14).

use crate::wire::http::parse_date;

/// What the peer asks for; the values of the fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conditions<'a> {
    pub(super) wanted_match: Option<&'a str>,
    pub(super) unmodified_since: Option<&'a str>,
    pub(super) none_match: Option<&'a str>,
    pub(super) modified_since: Option<&'a str>,
    pub(super) range: Option<&'a str>,
    pub(super) if_range: Option<&'a str>,
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Whole,
    /// From the first to before the second.
    Part(u64, u64),
    /// It wants another version, or none.
    Refused,
    /// It has this version already.
    NotModified,
    /// The range begins behind the end.
    Unsatisfiable,
}

/// What a peer gets of a file with this tag, modified in this second, of so many bytes.
pub(super) fn judge(conditions: &Conditions<'_>, tag: &str, modified: u64, len: u64) -> Verdict {
    // Each of the two that stand last counts only without the one before it (RFC 9110, 13.2.2).
    let is_wanted = match (conditions.wanted_match, conditions.unmodified_since) {
        (Some(list), _) => has_tag(list, tag),
        (None, Some(date)) => parse_date(date.as_bytes()).is_none_or(|date| modified <= date),
        (None, None) => true,
    };
    if !is_wanted {
        return Verdict::Refused;
    }
    let is_known = match (conditions.none_match, conditions.modified_since) {
        (Some(list), _) => matches(list, tag),
        (None, Some(date)) => parse_date(date.as_bytes()).is_some_and(|date| modified <= date),
        (None, None) => false,
    };
    if is_known {
        return Verdict::NotModified;
    }
    let is_same = conditions.if_range.is_none_or(|known| {
        known == tag || parse_date(known.as_bytes()).is_some_and(|date| date == modified)
    });
    match conditions.range.filter(|_| is_same) {
        Some(range) => part(range, len),
        None => Verdict::Whole,
    }
}

/// Whether a list of tags has this one, to the byte: weak ones do not count.
fn has_tag(list: &str, tag: &str) -> bool {
    list.trim() == "*" || list.split(',').any(|known| known.trim() == tag)
}

/// Whether a list of tags has this one. Weak ones count: it is about the same content.
fn matches(list: &str, tag: &str) -> bool {
    let mut tags = list.split(',').map(str::trim);
    list.trim() == "*" || tags.any(|known| known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// One range. Several, and what is malformed, are answered with the whole (RFC 9110, 14.2).
fn part(range: &str, len: u64) -> Verdict {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|set| set.split_once('-'))
    else {
        return Verdict::Whole;
    };
    let number = |text: &str| {
        let text = text.trim();
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // What does not fit is beyond any file.
        is_plain.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (first.trim().is_empty(), number(first), number(last)) {
        (true, _, Some(0)) => Verdict::Unsatisfiable,
        (true, _, Some(_)) if len == 0 => Verdict::Unsatisfiable,
        (true, _, Some(count)) => Verdict::Part(len.saturating_sub(count), len),
        (false, Some(start), Some(end)) if start > end => Verdict::Whole,
        (false, Some(start), _) if start >= len && is_end(last) => Verdict::Unsatisfiable,
        (false, Some(start), Some(end)) => Verdict::Part(start, end.saturating_add(1).min(len)),
        (false, Some(start), None) if last.trim().is_empty() => Verdict::Part(start, len),
        _ => Verdict::Whole,
    }
}

/// Whether this may stand behind the dash.
fn is_end(last: &str) -> bool {
    last.trim().bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file() {
        let cases = [
            ("bytes=0-0", Verdict::Part(0, 1)),
            ("bytes=2-4", Verdict::Part(2, 5)),
            ("bytes=2-", Verdict::Part(2, 10)),
            ("bytes=9-99", Verdict::Part(9, 10)),
            ("bytes=-3", Verdict::Part(7, 10)),
            ("bytes=-30", Verdict::Part(0, 10)),
            ("bytes=0-99999999999999999999999", Verdict::Part(0, 10)),
            ("bytes=10-", Verdict::Unsatisfiable),
            ("bytes=10-12", Verdict::Unsatisfiable),
            ("bytes=99999999999999999999999-", Verdict::Unsatisfiable),
            ("bytes=-0", Verdict::Unsatisfiable),
            ("bytes=4-2", Verdict::Whole),
            ("bytes=", Verdict::Whole),
            ("bytes=-", Verdict::Whole),
            ("bytes=a-b", Verdict::Whole),
            ("bytes=+1-2", Verdict::Whole),
            ("bytes=0-1,3-4", Verdict::Whole),
            ("lines=0-1", Verdict::Whole),
        ];
        for (range, verdict) in cases {
            assert_eq!(part(range, 10), verdict, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Verdict::Unsatisfiable);
        assert_eq!(part("bytes=-1", 0), Verdict::Unsatisfiable);
    }

    #[test]
    fn who_wants_another_version_gets_none() {
        let ask = |conditions: Conditions<'_>| judge(&conditions, "\"t\"", 784_111_777, 10);
        let none = Conditions { none_match: Some("\"t\""), ..Conditions::default() };
        for (list, verdict) in [
            ("\"t\"", Verdict::NotModified),
            ("\"a\" , \"t\"", Verdict::NotModified),
            ("*", Verdict::NotModified),
            ("W/\"t\"", Verdict::Refused),
            ("\"u\"", Verdict::Refused),
            ("", Verdict::Refused),
        ] {
            assert_eq!(ask(Conditions { wanted_match: Some(list), ..none }), verdict, "{list}");
        }
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let before = Some("Sun, 06 Nov 1994 08:49:36 GMT");
        for (date, verdict) in [
            (now, Verdict::NotModified),
            (before, Verdict::Refused),
            (Some("never"), Verdict::NotModified),
        ] {
            assert_eq!(ask(Conditions { unmodified_since: date, ..none }), verdict, "{date:?}");
        }
        let both = Conditions { wanted_match: Some("*"), unmodified_since: before, ..none };
        assert_eq!(ask(both), Verdict::NotModified, "the tag counts, the date does not");
    }

    #[test]
    fn conditions_come_before_ranges() {
        let ask = |conditions: Conditions<'_>| judge(&conditions, "\"t\"", 784_111_777, 10);
        let none = Conditions::default();
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let before = Some("Sun, 06 Nov 1994 08:49:36 GMT");
        assert_eq!(ask(none), Verdict::Whole);
        for known in ["\"t\"", "W/\"t\"", "\"a\", \"t\"", "*"] {
            assert_eq!(ask(Conditions { none_match: Some(known), ..none }), Verdict::NotModified);
        }
        assert_eq!(ask(Conditions { modified_since: date, ..none }), Verdict::NotModified);
        assert_eq!(ask(Conditions { modified_since: before, ..none }), Verdict::Whole);
        assert_eq!(ask(Conditions { modified_since: Some("never"), ..none }), Verdict::Whole);
        let other = Conditions { none_match: Some("\"u\""), modified_since: date, ..none };
        assert_eq!(ask(other), Verdict::Whole, "the tag counts, the date does not");
        let part = Conditions { range: Some("bytes=1-2"), ..none };
        assert_eq!(ask(Conditions { if_range: Some("\"t\""), ..part }), Verdict::Part(1, 3));
        assert_eq!(ask(Conditions { if_range: date, ..part }), Verdict::Part(1, 3));
        for other in [Some("\"u\""), Some("W/\"t\""), before] {
            assert_eq!(ask(Conditions { if_range: other, ..part }), Verdict::Whole);
        }
    }
}
