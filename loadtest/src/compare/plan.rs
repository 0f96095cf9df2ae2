//! Which server has its slice when.
//!
//! Machines drift: clocks change, caches fill, neighbours come and go. A slice of one server is
//! therefore never compared with one of the other alone but in groups of four, A B B A, in which a
//! steady drift cancels out. A runs twice, and three kinds of group follow each other:
//!
//! ```text
//!   a1 b b a1    a2 b b a2    a1 a2 a2 a1    then the same, begun by the other side
//! ```
//! The third is the control: what its ratio is off one is what this machine, now, cannot resolve.
//! All three processes have as many slices, because one that waits longer for its turn finds
//! colder caches (measured: 3 to 5 % more CPU a request with a third of the turns).

/// The three processes that are kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The server that is judged.
    First,
    /// A second instance of it.
    Second,
    /// The one that it is compared with.
    Other,
}

/// What a group of four slices tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The ratio of this instance of A to B.
    Ratio(Side),
    /// The ratio of A's first instance to its second.
    Control,
}

impl Group {
    /// The kind of the group with this number.
    pub(super) fn numbered(number: usize) -> Self {
        match number % 3 {
            0 => Self::Ratio(Side::First),
            1 => Self::Ratio(Side::Second),
            _ => Self::Control,
        }
    }

    /// The sides above and below the line of the ratio.
    pub(super) fn sides(self) -> (Side, Side) {
        match self {
            Self::Ratio(side) => (side, Side::Other),
            Self::Control => (Side::First, Side::Second),
        }
    }
}

/// The order of the four slices of the group with this number.
pub(super) fn order(number: usize) -> [Side; 4] {
    let (above, below) = Group::numbered(number).sides();
    if (number / 3).is_multiple_of(2) {
        [above, below, below, above]
    } else {
        [below, above, above, below]
    }
}

#[cfg(test)]
mod tests {
    use super::Side::{First, Other, Second};
    use super::*;

    #[test]
    fn groups_are_abba_and_then_baab_with_a_control_in_every_three() {
        let orders: Vec<_> = (0..6).map(order).collect();
        assert_eq!(orders[0], [First, Other, Other, First]);
        assert_eq!(orders[1], [Second, Other, Other, Second]);
        assert_eq!(orders[2], [First, Second, Second, First]);
        assert_eq!(orders[3], [Other, First, First, Other]);
        assert_eq!(orders[5], [Second, First, First, Second]);
        assert_eq!(order(6), order(0));
    }

    #[test]
    fn all_processes_have_as_many_slices() {
        let slices: Vec<Side> = (0..6).flat_map(order).collect();
        for side in [First, Second, Other] {
            assert_eq!(slices.iter().filter(|slice| **slice == side).count(), 8, "{side:?}");
        }
    }

    #[test]
    fn a_steady_drift_cancels_out_in_each_group() {
        for number in 0..12 {
            let (above, _) = Group::numbered(number).sides();
            let places = |is_above: bool| -> usize {
                let slices = order(number).into_iter().enumerate();
                slices.filter(|(_, side)| (*side == above) == is_above).map(|(at, _)| at).sum()
            };
            assert_eq!(places(true), places(false), "group {number}");
        }
    }
}
