//! docs/TUNING.md, made from the table.

use std::fmt::Write;

use super::Profile;
use super::table::{Row, profile_sets, row, rows};

const HEAD: &str = "\
<!-- Made from src/config/table.rs by `cargo run -- config --markdown > docs/TUNING.md`. -->
# Tuning

Every knob is a variable of the environment, so a server can be tuned without being built anew:

```sh
SKYRING_CORES=0-1 SKYRING_SPIN=50us skyring echo
```

`skyring config` prints each knob with its value, where the value comes from, and what this
machine grants. `skyring doctor` says what the kernel and the limits allow.

## How values are written

| kind | as |
|---|---|
| counts | `1024`; no unit |
| bytes | `65536`, `64k`, `1m`, `1g`; k is 1024 |
| durations | `50us`, `5ms`, `10s`, `2min`, `1h`; always with a unit |
| switches | `on` or `off`, also `true`, `false`, `yes`, `no`, `1`, `0` |
| cores | `auto`, a count as `4`, or a list as `0,2-3`; one core alone is `2-2` |
| shares | `50%`, or a number of blocks as `128` |
| networks | addresses and blocks between commas as `10.0.0.0/8,::1`, or `none` |
| paths | `/etc/skyring/cert.pem`, or `none` |
| levels | `off`, `error`, `warn`, `info`, `debug`, `trace` |

Letters may be large or small, but in paths. Fractions are refused: write `1536k`, not `1.5m`. Where a row names
a word for zero, such as `off`, the word and `0` mean the same.

## Which value wins

Default, profile, program, environment, command line: the later one wins, whatever the order in
which the program asked. On the command line a knob is set by `--set spin=50us`; the long name
works too. A program sets it by the method of the same name: `Config::from_env()?.spin(...)`
gives a default of its own that the environment still overrides.

A value that does not read, is out of range or contradicts another ends the program with one line
before anything is opened. So does an unknown name that begins with `SKYRING_`, or a knob's name
behind a misspelled prefix. Passed over are `SKYRING_LOAD_...`, which belongs to the load tool, and
the variables that Kubernetes makes for a service called skyring (`SKYRING_SERVICE_HOST`,
`SKYRING_PORT_8888_TCP`, ...).

## Profiles

`SKYRING_PROFILE` chooses a set of defaults. A knob that is set by itself wins over it.

";

/// The text of docs/TUNING.md. It depends on the table alone, not on this machine.
pub fn tuning_page() -> String {
    let mut page = HEAD.to_owned();
    profiles(&mut page);
    page.push_str("\n## Knobs\n");
    let mut group = "";
    for row in rows() {
        if row.group != group {
            group = row.group;
            write!(page, "\n### {group}\n\n| knob | default | range | what it does, and when to change it |\n|---|---|---|---|\n")
                .expect("a string takes all");
        }
        line(&mut page, row);
    }
    page
}

fn profiles(page: &mut String) {
    page.push_str("| profile | for | sets |\n|---|---|---|\n");
    for profile in Profile::ALL {
        let purpose = match profile {
            Profile::Balanced => "most servers; the defaults below",
            Profile::Latency => "cores of one's own that may burn; evener turns",
            Profile::Throughput => "large messages and many of them",
            Profile::Shared => "a machine shared with other programs; a small memlock limit",
        };
        let set = |&(knob, value): &(_, &str)| format!("`{}={value}`", row(knob).name);
        let sets: Vec<_> = profile_sets(profile).iter().map(set).collect();
        let sets = if sets.is_empty() { "nothing".to_owned() } else { sets.join(" ") };
        writeln!(page, "| `{profile}` | {purpose} | {sets} |").expect("a string takes all");
    }
}

fn line(page: &mut String, row: &Row) {
    let (name, default, range) = (&row.name, row.print(&row.default), row.range_text());
    let (meaning, when) = (&row.meaning, row.when);
    writeln!(page, "| `{name}` | `{default}` | {range} | {meaning} *{when}* |")
        .expect("a string takes all");
}
