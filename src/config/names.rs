//! Names of knobs: which one is meant, which variables are none of ours, and hints for the rest.

use strsim::{damerau_levenshtein, jaro_winkler};

use super::error::ConfigError;
use super::table::{Row, rows};

const PREFIX: &str = "SKYRING_";

/// The row that a name on the command line means: `SKYRING_SPIN`, `spin`, or `ring-entries`.
pub(crate) fn find(name: &str) -> Result<&'static Row, ConfigError> {
    let upper = name.trim().to_ascii_uppercase().replace('-', "_");
    let short = upper.strip_prefix(PREFIX).unwrap_or(&upper);
    let row = rows().iter().find(|row| row.short.eq_ignore_ascii_case(short));
    row.ok_or_else(|| ConfigError::Unknown {
        name: name.to_owned(),
        hint: nearest(short).or_else(|| meant_by_prefix(name)),
    })
}

/// The row that a variable of the environment sets; `None` if the variable is not about us.
///
/// # Errors
/// The variable was meant for us, and no knob has its name.
pub(crate) fn find_variable(name: &str, value: &str) -> Result<Option<&'static Row>, ConfigError> {
    let unknown = |hint| Err(ConfigError::Unknown { name: name.to_owned(), hint });
    let Some(short) = name.strip_prefix(PREFIX) else {
        return match meant_by_prefix(name) {
            None => Ok(None),
            hint => unknown(hint),
        };
    };
    if let Some(row) = rows().iter().find(|row| row.name == name) {
        return Ok(Some(row));
    }
    if short.starts_with("LOAD_") || is_service_link(short, value) {
        return Ok(None);
    }
    unknown(nearest(&short.to_ascii_uppercase()))
}

/// The knob whose name is most like this one, if it is like enough to be a slip.
fn nearest(short: &str) -> Option<&'static str> {
    let slips_max = match short.len() {
        0..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let distance = |row: &Row| {
        let name = row.short.to_ascii_uppercase();
        let in_order = damerau_levenshtein(short, &name);
        in_order.min(1 + damerau_levenshtein(&sorted(short), &sorted(&name)))
    };
    let slip = rows().iter().map(|row| (distance(row), row)).min_by_key(|(slips, _)| *slips);
    let slip = slip.filter(|(slips, _)| *slips <= slips_max).map(|(_, row)| row);
    slip.or_else(|| alike(short)).map(|row| row.name.as_str())
}

/// The words of a name in one order, since people remember words better than their order.
fn sorted(name: &str) -> String {
    let mut words: Vec<_> = name.split('_').collect();
    words.sort_unstable();
    words.join("_")
}

/// A knob whose name is a part of this one, or this one of it: `BLOCK_BYTES`, `CONNECTIONS`.
fn alike(short: &str) -> Option<&'static Row> {
    let words = |row: &&Row| {
        let name = row.short.to_ascii_uppercase();
        short.len() > 3 && (name.contains(short) || short.contains(&name))
    };
    let mut found: Vec<_> = rows().iter().filter(words).collect();
    let score = |row: &Row| jaro_winkler(short, &row.short.to_ascii_uppercase());
    found.sort_by(|a, b| score(b).total_cmp(&score(a)));
    found.first().copied()
}

/// `SKYRNG_IDLE`, `SKY_RING_IDLE`, `SKYRINGIDLE`, `skyring_idle`: a slip in the prefix before the
/// exact name of a knob. Anything less exact may well belong to another program.
fn meant_by_prefix(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    let slips = |row: &'static Row| {
        let prefix = upper.strip_suffix(&row.short.to_ascii_uppercase())?;
        let prefix = prefix.trim_end_matches('_');
        // SPRING and STRING are two slips away and words of their own.
        let slips = damerau_levenshtein(prefix, "SKYRING");
        (slips <= 1 || slips == 2 && prefix.starts_with("SK")).then_some((slips, row))
    };
    rows().iter().filter_map(slips).min_by_key(|(slips, _)| *slips).map(|(_, row)| &*row.name)
}

/// Variables that Kubernetes gives every container of a namespace that has a service called
/// `skyring` or `skyring-chat`: `SKYRING_SERVICE_HOST`, `SKYRING_PORT=tcp://10.0.0.1:8888`,
/// `SKYRING_CHAT_PORT_8888_TCP_ADDR`. They are not for us and must not stop a server.
fn is_service_link(short: &str, value: &str) -> bool {
    let is_link =
        |text: &str| ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme));
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        parts.next().is_some_and(digits)
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(parts.next(), None | Some("ADDR" | "PORT" | "PROTO"))
    };
    let name = format!("_{short}");
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && is_link(value)
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(name: &str) -> Option<&'static str> {
        match find_variable(name, "1") {
            Err(ConfigError::Unknown { hint, .. }) => hint,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn every_knob_is_found_by_its_names() {
        for row in rows() {
            assert_eq!(find_variable(&row.name, "1").unwrap().unwrap().knob, row.knob);
            for name in [row.name.as_str(), row.short, &row.short.replace('_', "-")] {
                assert_eq!(find(name).unwrap().knob, row.knob);
            }
        }
    }

    #[test]
    fn a_misspelled_name_gets_a_hint() {
        let cases = [
            ("SKYRING_RING_ENTRYS", "SKYRING_RING_ENTRIES"),
            ("SKYRING_RING_ENTRES", "SKYRING_RING_ENTRIES"),
            ("SKYRING_SPN", "SKYRING_SPIN"),
            ("SKYRING_IDEL", "SKYRING_IDLE"),
            ("SKYRING_idle", "SKYRING_IDLE"),
            ("SKYRING__IDLE", "SKYRING_IDLE"),
            ("SKYRING_NO_DELAY", "SKYRING_NODELAY"),
            ("SKYRING_POOL_BLOCK_BYTE", "SKYRING_POOL_BLOCK_BYTES"),
            ("SKYRING_FRAME_MAX_BYTES", "SKYRING_FRAME_BYTES_MAX"),
            ("SKYRING_CONNECTIONS", "SKYRING_CONNECTIONS_MAX"),
            ("SKYRING_IDLE_TIMEOUT", "SKYRING_IDLE"),
        ];
        for (name, meant) in cases {
            assert_eq!(hint(name), Some(meant), "{name}");
        }
        assert_eq!(hint("SKYRING_COLOUR_OF_THE_SKY"), None);
        assert_eq!(hint("SKYRING_"), None);
    }

    #[test]
    fn a_misspelled_prefix_gets_a_hint() {
        for name in ["SKYRNG_IDLE", "SKY_RING_IDLE", "SKYRINGIDLE", "SKYRINGS_IDLE", "skyring_idle"]
        {
            assert_eq!(hint(name), Some("SKYRING_IDLE"), "{name}");
        }
        assert_eq!(hint("SKYRINGSPIN"), Some("SKYRING_SPIN"));
        assert_eq!(hint("SKRYING_PIN"), Some("SKYRING_PIN"));
    }

    #[test]
    fn what_belongs_to_others_is_left_alone() {
        let others = [
            ("PATH", "/bin"),
            ("IDLE", "5"),
            ("RING_SPIN", "5"),
            ("SPRING_PROFILE", "dev"),
            ("STRING_CORES", "1"),
            ("SKYRNG_COLOUR", "1"),
            ("SKYRING_LOAD_RATE", "1000"),
            ("SKYRING_SERVICE_HOST", "10.0.0.1"),
            ("SKYRING_SERVICE_PORT", "8888"),
            ("SKYRING_SERVICE_PORT_GAME", "8888"),
            ("SKYRING_PORT", "tcp://10.0.0.1:8888"),
            ("SKYRING_PORT_8888_TCP", "tcp://10.0.0.1:8888"),
            ("SKYRING_PORT_8888_TCP_ADDR", "10.0.0.1"),
            ("SKYRING_CHAT_PORT_8888_UDP_PROTO", "udp"),
            ("SKYRING_CHAT_SERVICE_HOST", "10.0.0.1"),
        ];
        for (name, value) in others {
            assert!(find_variable(name, value).unwrap().is_none(), "{name}");
        }
        assert_eq!(hint("SKYRING_PORT"), None, "a port of ours would be a mistake");
    }
}
