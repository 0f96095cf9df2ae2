use std::time::Duration;

use super::*;

fn spin(config: &Config) -> (String, Source) {
    let entry = config.entries().find(|entry| entry.name == "SKYRING_SPIN").unwrap();
    (entry.value, entry.source)
}

/// One source that sets the spin.
type Step = fn(Config) -> Config;

/// Every order of these steps.
fn orders(steps: &[(Source, Step)]) -> Vec<Vec<(Source, Step)>> {
    if steps.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 0..steps.len() {
        let mut rest = steps.to_vec();
        let step = rest.remove(first);
        for mut order in orders(&rest) {
            order.insert(0, step);
            all.push(order);
        }
    }
    all
}

#[test]
fn sources_win_by_rank_in_every_order_of_the_calls() {
    let steps: [(Source, Step); 4] = [
        (Source::Profile, |config| config.profile(Profile::Latency)),
        (Source::Builder, |config| config.spin(Duration::from_millis(2))),
        (Source::Environment, |config| config.with_variable("SKYRING_SPIN", "3ms").unwrap()),
        (Source::CommandLine, |config| config.set("spin", "4ms").unwrap()),
    ];
    for chosen in 0..1 << steps.len() {
        let some: Vec<_> =
            (0..steps.len()).filter(|i| chosen & 1 << i != 0).map(|i| steps[i]).collect();
        let best = some.iter().map(|(source, _)| *source).max().unwrap_or(Source::Default);
        let value = match best {
            Source::Default => "off",
            Source::Profile => "200us",
            Source::Builder => "2ms",
            Source::Environment => "3ms",
            Source::CommandLine => "4ms",
        };
        for order in orders(&some) {
            let config = order.iter().fold(Config::new(), |config, (_, step)| step(config));
            assert_eq!(spin(&config), (value.to_owned(), best));
        }
    }
}

#[test]
fn the_profile_itself_follows_the_same_order() {
    let throughput = ("SKYRING_PROFILE", "throughput");
    let config = Config::from_pairs([throughput]).unwrap().profile(Profile::Latency);
    assert_eq!(spin(&config), ("off".into(), Source::Default));
    let config = config.set("profile", "latency").unwrap();
    assert_eq!(spin(&config), ("200us".into(), Source::Profile));
}

#[test]
fn every_knob_can_be_set_to_its_default_by_every_source() {
    for row in rows() {
        let text = row.print(&row.default);
        let environment = Config::from_pairs([(row.name.as_str(), &text)]).unwrap();
        let line = Config::new().set(row.short, &text).unwrap();
        for (config, source) in [(environment, Source::Environment), (line, Source::CommandLine)] {
            assert_eq!(config.value(row.knob), (&row.default, source));
            assert_eq!(config.check(), Ok(()), "{}", row.name);
        }
    }
}

#[test]
fn the_last_of_two_equal_variables_counts() {
    let twice = [("SKYRING_SPIN", "1ms"), ("SKYRING_SPIN", "2ms")];
    assert_eq!(spin(&Config::from_pairs(twice).unwrap()).0, "2ms");
}

#[test]
fn errors_are_one_line_and_name_the_knob() {
    let cases = [
        ("SKYRING_SPIN", "abc", "SKYRING_SPIN=abc: not a duration; write a whole number and us,"),
        ("SKYRING_SPIN", "5", "SKYRING_SPIN=5: not a duration; write"),
        ("SKYRING_SPIN", "-5ms", "SKYRING_SPIN=-5ms: not a duration; write"),
        ("SKYRING_SPIN", "", "SKYRING_SPIN is empty: not a duration; write"),
        ("SKYRING_SPIN", "  ", "SKYRING_SPIN is empty: not a duration; write"),
        ("SKYRING_SPIN", "11s", "SKYRING_SPIN=11s: out of range, which is 1us to 10s, or off"),
        ("SKYRING_PIN", "maybe", "SKYRING_PIN=maybe: not a switch; write on or off"),
        ("SKYRING_PROFILE", "fast", "SKYRING_PROFILE=fast: not a profile; there are balanced,"),
        ("SKYRING_CORES", "3-0", "SKYRING_CORES=3-0: the range 3-0 runs backwards; write 0-3"),
        ("SKYRING_POOL_BLOCKS", "100", "SKYRING_POOL_BLOCKS=100: out of range, which is 2 to"),
        ("SKYRING_POOL_LENT_MAX", "101%", "SKYRING_POOL_LENT_MAX=101%: more than 100%"),
        ("SKYRING_MAILBOX_MAX", "4k", "SKYRING_MAILBOX_MAX=4k: not a count; write a whole"),
        ("SKYRING_RING_ENTRYS", "1", "SKYRING_RING_ENTRYS: no such knob; did you mean SKYRING_R"),
    ];
    for (name, value, start) in cases {
        let line = Config::from_pairs([(name, value)]).unwrap_err().to_string();
        assert!(line.starts_with(start), "{line}");
    }
    let line = Config::new().set("entries", "1").unwrap_err().to_string();
    assert_eq!(line, "entries: no such knob; did you mean SKYRING_RING_ENTRIES?");
}
