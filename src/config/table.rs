//! The table of knobs. One entry yields the knob's reader, its range check, its setter on
//! [`Config`], its field of [`Settings`], its line of `skyring config`, its row of docs/TUNING.md
//! and the hints for misspelled names. To add a knob, add an entry, and regenerate the page.
//!
//! An entry reads: what it does, `name(type a program sets) -> type the engine gets`, then kind,
//! unit, range, a word for zero, the default, and when to change it. Values stand as a user would
//! write them and go through the same reader.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::cores::Cores;
use super::take::{Ground, Take};
use super::value::{Kind, Profile, Share, Value};
use super::{Config, Source};
use crate::network::Network;

/// One row of the table, its texts read.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) knob: Knob,
    /// The name in the environment, `SKYRING_SPIN`.
    pub(crate) name: String,
    /// The name on the command line and of the setter, `spin`.
    pub(crate) short: &'static str,
    pub(crate) group: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: &'static str,
    /// First and last number allowed, for the kinds that are numbers.
    pub(crate) range: Option<(u64, u64)>,
    /// The word for zero, which is allowed beside the range.
    pub(crate) zero: Option<&'static str>,
    pub(crate) default: Value,
    pub(crate) meaning: String,
    pub(crate) when: &'static str,
}

/// An entry as written in the table, before its texts are read.
struct Text {
    knob: Knob,
    short: &'static str,
    group: &'static str,
    kind: Kind,
    unit: &'static str,
    range: &'static [[&'static str; 2]],
    zero: &'static [&'static str],
    default: &'static str,
    meaning: &'static [&'static str],
    when: &'static str,
}

impl Text {
    fn read(&self) -> Row {
        let read = |text: &str| {
            let zero = if self.zero.contains(&text) { "0" } else { text };
            self.kind.read(zero).expect("a test reads every entry of the table")
        };
        let number = |text: &str| match read(text) {
            Value::Number(n) => n,
            _ => unreachable!("only numbers have a range, and a test reads every entry"),
        };
        Row {
            knob: self.knob,
            name: format!("SKYRING_{}", self.short.to_ascii_uppercase()),
            short: self.short,
            group: self.group,
            kind: self.kind,
            unit: self.unit,
            range: self.range.first().map(|[low, high]| (number(low), number(high))),
            zero: self.zero.first().copied(),
            default: read(self.default),
            meaning: self.meaning.concat().trim().to_owned(),
            when: self.when,
        }
    }
}

/// Every knob, in the order of the documentation.
pub(crate) fn rows() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| TEXTS.iter().map(Text::read).collect());
    &ROWS
}

/// The row of one knob.
pub(crate) fn row(knob: Knob) -> &'static Row {
    &rows()[knob as usize]
}

macro_rules! knobs {
    ($( [$group:literal] $(
        $(#[doc = $meaning:literal])+
        $name:ident($asked:ty $(as $via:ty)?) -> $granted:ty {
            $kind:ident: $unit:literal $([$low:literal to $high:literal])? $(zero $zero:literal)?,
            default: $default:literal,
            when: $when:literal,
        }
    )+ )+) => {
        /// The knobs by name.
        #[allow(non_camel_case_types, reason = "a knob is called what it is called everywhere")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Knob { $($( $name, )+)+ }

        const TEXTS: &[Text] = &[$($( Text {
            knob: Knob::$name,
            short: stringify!($name),
            group: $group,
            kind: Kind::$kind,
            unit: $unit,
            range: &[$([$low, $high])?],
            zero: &[$($zero)?],
            default: $default,
            meaning: &[$($meaning),+],
            when: $when,
        }, )+)+];

        /// The knobs, each set by the program itself. A value out of range is reported by
        /// [`check`](Config::check) and [`resolve`](Config::resolve), and a value from the
        /// environment or the command line wins over it.
        impl Config {
            $($(
                $(#[doc = $meaning])+
                ///
                #[doc = concat!(
                    "Default `", $default, "`", $(", range `", $low, "` to `", $high, "`",)?
                    $(", or `0` (`", $zero, "`)",)? ". ", $when,
                )]
                #[must_use]
                pub fn $name(self, $name: $asked) -> Self {
                    $(let $name: $via = $name.into();)?
                    self.with(Knob::$name, Source::Builder, Value::from($name))
                }
            )+)+
        }

        /// Every knob's effective value, as the engine uses it: checked, and bounded by what the
        /// machine grants. Made by [`Config::resolve`]. Zero stands for the word that the knob has
        /// for it, `off` or `unlimited`; `auto` has been replaced by what it stands for.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Settings { $($(
            $(#[doc = $meaning])+
            pub $name: $granted,
        )+)+ }

        impl Settings {
            /// Takes each value as the engine wants it; the values were checked before.
            pub(super) fn take(config: &Config, ground: &Ground<'_>) -> Self {
                Self { $($( $name: Take::take(config.value(Knob::$name).0, ground), )+)+ }
            }
        }
    };
}

knobs! {
    ["Start"]
    /// A set of defaults for one kind of use, see "Profiles".
    profile(Profile) -> Profile {
        Profile: "name",
        default: "balanced",
        when: "The one knob to try first.",
    }
    /// How much the program `skyring` tells on stderr, a line each: what is at least as grave. The
    /// library itself tells the program's own subscriber of `tracing`.
    log(LevelFilter) -> LevelFilter {
        Level: "level",
        default: "warn",
        when: "`info` for the log of requests and logins, `debug` for each peer's end, and why.",
    }

    ["Cores"]
    /// The cores that run a reactor: `auto` (the affinity mask, at most the cgroup's CPU quota),
    /// a count as `4`, or a list as `0,2-3` (one core: `2-2`).
    cores(impl Into<Cores> as Cores) -> Vec<usize> {
        Cores: "cores",
        default: "auto",
        when: "Leave a core to other programs or to the interrupts of the network card.",
    }
    /// Pins each reactor to its core. Off: each may run on any core of `SKYRING_CORES`.
    pin(bool) -> bool {
        Switch: "switch",
        default: "on",
        when: "Off where other programs load the same cores.",
    }
    /// How long a reactor without work polls for more before it sleeps in the kernel.
    spin(Duration) -> Duration {
        Time: "duration" ["1us" to "10s"] zero "off",
        default: "off",
        when: "20us to 1ms where a core may burn for latency; waking a sleeper costs about 30us.",
    }
    /// How long a turn of a reactor may last before the log names the agent or task that does not
    /// end it, again at twice the time, and so on. A thread of the engine looks four times in it.
    stall(Duration) -> Duration {
        Time: "duration" ["10ms" to "1h"] zero "off",
        default: "5s",
        when: "100ms to 1s where latency matters: what keeps a core for so long is a defect there.",
    }
    /// Messages that one task handles before the next task of the core has its turn.
    task_budget(u32) -> u32 {
        Count: "messages" ["1" to "65536"],
        default: "64",
        when: "Lower for evener latency between connections, higher for throughput.",
    }
    /// Threads, off the reactors, for calls that block, such as name resolution.
    blocking_threads(u32) -> u32 {
        Count: "threads" ["1" to "256"],
        default: "4",
        when: "Raise where many outgoing connections resolve names at once.",
    }
    /// Calls of the lane that may be under way, over all cores; more are refused.
    lane_calls_max(u32) -> u32 {
        Count: "calls" ["1" to "1048576"],
        default: "1024",
        when: "Lower to hear sooner that what the lane talks to lags.",
    }

    ["Rings and memory, for each core"]
    /// Submissions that fit in the ring before it must enter the kernel; rounded up to a power
    /// of two. Completions have room for twice as many, and for twice the blocks of the pool.
    ring_entries(u32) -> u32 {
        Count: "entries" ["8" to "32768"],
        default: "1024",
        when: "Raise for thousands of busy connections a core; lower where memlock is short.",
    }
    /// Blocks that received bytes land in, a power of two. An idle connection holds none.
    pool_blocks(u32) -> u32 {
        Power: "blocks" ["2" to "32768"],
        default: "256",
        when: "Raise when the counter of starved receives grows.",
    }
    /// Size of a block, which is the most that one receive brings.
    pool_block_bytes(u32) -> u32 {
        Bytes: "bytes" ["1k" to "1m"],
        default: "64k",
        when: "The knob for large messages; small ones do as well with 16k and a quarter of the memory.",
    }
    /// Blocks that frames may hold at once, in percent or in blocks. Frames born beyond it are
    /// copies on the heap, so that slow services never starve the pool.
    pool_lent_max(Share) -> u32 {
        Share: "blocks",
        default: "50%",
        when: "Raise where services keep large frames for long and memory is at hand.",
    }

    ["Connections, for the whole engine"]
    /// Connections at once; more are closed as they arrive. `auto`: as many as the limit of
    /// descriptors allows.
    connections_max(u32) -> u32 {
        Count: "connections" ["1" to "10000000"] zero "auto",
        default: "auto",
        when: "Set it to what the service behind can bear.",
    }
    /// Connections at once from one address.
    connections_per_ip_max(u32) -> u32 {
        Count: "connections" ["1" to "10000000"] zero "unlimited",
        default: "unlimited",
        when: "Set it on the open internet; mind many users behind one address.",
    }
    /// Bits of an IPv4 address that tell one client from another, in every limit for an address.
    ipv4_prefix(u32) -> u8 {
        Count: "bits" ["1" to "32"],
        default: "32",
        when: "Lower only where whole blocks misbehave together.",
    }
    /// Bits of an IPv6 address that tell one client from another, in every limit for an address.
    ipv6_prefix(u32) -> u8 {
        Count: "bits" ["1" to "128"],
        default: "64",
        when: "48 to 60 where clients have larger networks, which they get around a limit with.",
    }
    /// Addresses and networks that are banned at once (`skyring::ban`); one more is refused.
    bans_max(u32) -> u32 {
        Count: "networks" ["1" to "100000"],
        default: "10000",
        when: "Raise for published lists; a change takes time for each ban that stands.",
    }
    /// Proxies that say whose connections they bring: one from these networks must begin with a PROXY
    /// header (version 1 or 2), within `SKYRING_HANDSHAKE`, or 5s. Its client's address then counts in
    /// every limit. One from elsewhere is never read so. For gates; one may have a list of its own.
    proxies(impl Into<Vec<Network>> as Vec<Network>) -> Vec<Network> {
        Networks: "networks",
        default: "none",
        when: "Set it to the load balancers in front, and to nobody else: who is in it can be anybody.",
    }
    /// The certificate that servers show which speak TLS by this knob, as those of the program
    /// `skyring` do: a file in PEM, with those that vouch for it behind it. Needs
    /// `SKYRING_TLS_KEY`.
    tls_cert(impl Into<PathBuf> as PathBuf) -> PathBuf {
        Path: "path",
        default: "none",
        when: "Set it with the key; a server that runs reads both anew on SIGHUP.",
    }
    /// The private key of `SKYRING_TLS_CERT`: a file in PEM, not encrypted.
    tls_key(impl Into<PathBuf> as PathBuf) -> PathBuf {
        Path: "path",
        default: "none",
        when: "Set it with the certificate; let nobody but the server's user read it.",
    }
    /// Connections that wait in the kernel to be accepted, for each listener; at most
    /// `net.core.somaxconn`.
    backlog(u32) -> u32 {
        Count: "connections" ["1" to "65535"],
        default: "1024",
        when: "Raise with somaxconn where clients return all at once.",
    }
    /// Sends small writes at once (`TCP_NODELAY`). The engine gathers a turn's output anyway.
    nodelay(bool) -> bool {
        Switch: "switch",
        default: "on",
        when: "Off only for bulk data that nobody waits for.",
    }
    /// Closes a connection that has received nothing for so long.
    idle(Duration) -> Duration {
        Time: "duration" ["1ms" to "168h"] zero "off",
        default: "off",
        when: "Set it above the clients' own heartbeat, about three of them.",
    }
    /// How long a new connection may take until its first frame is whole, or until it is logged in
    /// where the server says when that is. A handshake of TLS has as long before (10s if off).
    handshake(Duration) -> Duration {
        Time: "duration" ["1ms" to "1h"] zero "off",
        default: "off",
        when: "5s to 30s on the open internet, unless clients may connect and only listen.",
    }
    /// How long a closing connection waits for a peer that takes nothing of what is queued for it.
    write_timeout(Duration) -> Duration {
        Time: "duration" ["100ms" to "1h"],
        default: "10s",
        when: "Raise for clients on links that stand still for longer; it holds their output so long.",
    }
    /// How long an outgoing connection may take, all addresses of its name together.
    connect_timeout(Duration) -> Duration {
        Time: "duration" ["1ms" to "1h"],
        default: "10s",
        when: "Lower inside one data centre.",
    }
    /// How long the engine, told to stop, waits for queued output and services to finish.
    drain(Duration) -> Duration {
        Time: "duration" ["0s" to "1h"],
        default: "5s",
        when: "Keep it under the supervisor's kill timeout (30s in Kubernetes, 90s in systemd).",
    }

    ["Rates"]
    /// Requests that one connection may make in a second, on average.
    rate(u32) -> u32 {
        Count: "requests/s" ["1" to "1000000000"] zero "unlimited",
        default: "unlimited",
        when: "Set it well above what an honest client does.",
    }
    /// Requests that one connection may make at once; `auto`: as many as in a second.
    burst(u32) -> u32 {
        Count: "requests" ["1" to "1000000000"] zero "auto",
        default: "auto",
        when: "Raise where clients send in batches; lower for evener load.",
    }
    /// Requests in a second of all connections from one address, over all cores.
    rate_per_ip(u32) -> u32 {
        Count: "requests/s" ["1" to "1000000000"] zero "unlimited",
        default: "unlimited",
        when: "Set it on the open internet; mind many users behind one address.",
    }
    /// Requests at once of all connections from one address; `auto`: as many as in a second.
    burst_per_ip(u32) -> u32 {
        Count: "requests" ["1" to "1000000000"] zero "auto",
        default: "auto",
        when: "Raise where clients behind one address send in batches.",
    }
    /// Handshakes of TLS that one address may begin in a second, and at once, over all cores; more of
    /// its connections are closed before anything is calculated for them.
    tls_rate_per_ip(u32) -> u32 {
        Count: "handshakes/s" ["1" to "1000000000"] zero "unlimited",
        default: "unlimited",
        when: "10 to 100 on the open internet, where a stranger could keep a core signing; a browser begins six at once.",
    }
    /// Addresses whose rate is remembered, in about 40 bytes each while they use it. Beyond it
    /// those that have used least are forgiven.
    rate_ips_max(u32) -> u32 {
        Count: "addresses" ["1024" to "100000000"],
        default: "1000000",
        when: "Raise with the addresses that are busy in the time that a burst takes to come back.",
    }

    ["Limits of one connection or service"]
    /// The largest frame; a peer that announces a larger one is disconnected.
    frame_bytes_max(usize) -> usize {
        Bytes: "bytes" ["1" to "256m"],
        default: "1m",
        when: "Lower it to the protocol's largest message: it bounds what a client can make us hold.",
    }
    /// Unread bytes of a connection at which its reads pause; they go on at half of it. A frame
    /// still incomplete may grow beyond, up to its own limit.
    receive_bytes_max(usize) -> usize {
        Bytes: "bytes" ["1k" to "1g"],
        default: "128k",
        when: "Raise for bulk receivers; lower with many slow services.",
    }
    /// Output queued for one connection; beyond it the reader is too slow and is disconnected.
    send_queue_bytes_max(usize) -> usize {
        Bytes: "bytes" ["1k" to "1g"],
        default: "8m",
        when: "Lower to bound memory; raise for bursts that slow readers must survive.",
    }
    /// Queued output at which the first warning is raised; the next at twice as much, and so on.
    send_warn_bytes(usize) -> usize {
        Bytes: "bytes" ["1k" to "1g"] zero "off",
        default: "1m",
        when: "Lower where a service drops detail for slow readers.",
    }
    /// Messages that wait for one service; a sender to a full mailbox gets its message back.
    mailbox_max(u32) -> u32 {
        Count: "messages" ["1" to "1048576"],
        default: "4096",
        when: "Raise for services that serve many others; lower to push back sooner.",
    }
    /// Slots of the ring that carries messages from one core to one other, a power of two of 64
    /// bytes each; there is one for each ordered pair of cores.
    fabric_slots(u32) -> u32 {
        Power: "slots" ["2" to "65536"],
        default: "512",
        when: "Raise where cores send each other bursts and memory is at hand.",
    }
    /// Messages for one other core that wait because its ring is full; beyond it senders hear that
    /// the core is busy. Also what other threads may have waiting for a core.
    fabric_max(u32) -> u32 {
        Count: "messages" ["1" to "16777216"],
        default: "65536",
        when: "Lower to hear sooner that a core lags.",
    }
}

/// What each profile sets other than the table's defaults.
pub(crate) fn profile_sets(profile: Profile) -> &'static [(Knob, &'static str)] {
    match profile {
        Profile::Balanced => &[],
        Profile::Latency => &[(Knob::spin, "200us"), (Knob::task_budget, "16")],
        Profile::Throughput => &[
            (Knob::task_budget, "256"),
            (Knob::ring_entries, "4096"),
            (Knob::pool_blocks, "512"),
            (Knob::pool_block_bytes, "128k"),
            (Knob::receive_bytes_max, "512k"),
        ],
        Profile::Shared => &[
            (Knob::pin, "off"),
            (Knob::blocking_threads, "2"),
            (Knob::ring_entries, "256"),
            (Knob::pool_blocks, "64"),
            (Knob::pool_block_bytes, "16k"),
        ],
    }
}

/// What a profile sets a knob to, if it does.
pub(crate) fn profile_value(profile: Profile, knob: Knob) -> Option<&'static Value> {
    type Sets = [Vec<(Knob, Value)>; Profile::ALL.len()];
    static SETS: LazyLock<Sets> = LazyLock::new(|| {
        Profile::ALL.map(|profile| {
            let read = |&(knob, text): &(Knob, &str)| {
                (knob, row(knob).read(text).expect("a test checks every profile"))
            };
            profile_sets(profile).iter().map(read).collect()
        })
    });
    let sets = &SETS[profile as usize];
    sets.iter().find(|(set, _)| *set == knob).map(|(_, value)| value)
}
