//! Where the parameters of a route lie in a path.

/// Parameters of one route.
pub(super) const PARAMS_MAX: usize = 8;

/// Where the parameters lie in a path.
#[derive(Clone, Copy, Default)]
pub(super) struct Params {
    places: [(u16, u16); PARAMS_MAX],
    count: u8,
}

impl Params {
    pub(super) fn at(self, index: usize, path: &str) -> &str {
        let (start, end) = self.places[..self.count.into()].get(index).copied().unwrap_or((0, 0));
        path.get(usize::from(start)..usize::from(end)).unwrap_or_default()
    }

    pub(super) fn push(&mut self, start: usize, end: usize) {
        // A path is part of a head, which is below 64 KiB.
        self.places[usize::from(self.count)] = (start as u16, end as u16);
        self.count += 1;
    }
}
