//! Who should have heard what: ids of a room have no gap, grow, and stand for the same message
//! whoever hears them. No socket and no clock here.

/// What the members of all rooms have said and heard.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    clients: Vec<Client>,
    rooms: Vec<Room>,
    /// Objects with an id that were to come, and that came.
    expected: u64,
    pub(super) heard: u64,
    /// Ids that somebody missed between two others.
    pub(super) gaps: u64,
    /// Ids that came behind a larger one, or again.
    pub(super) reordered: u64,
    /// Ids by which members of a room have heard different messages.
    pub(super) differing: u64,
}

#[derive(Debug)]
struct Client {
    room: usize,
    last_id: u64,
}

#[derive(Debug, Default)]
struct Room {
    members: u64,
    /// The mark of each id, from 1 on; none where only the speaker has heard of it.
    marks: Vec<Option<u64>>,
}

impl Ledger {
    /// So many clients, spread over so many rooms.
    pub(super) fn new(clients: usize, rooms: usize) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.rooms.resize_with(rooms, Room::default);
        for client in 0..clients {
            ledger.rooms[client % rooms].members += 1;
            ledger.clients.push(Client { room: client % rooms, last_id: 0 });
        }
        ledger
    }

    /// The room of a client.
    pub(super) fn room(&self, client: usize) -> usize {
        self.clients[client].room
    }

    /// A client has said something: each member of the room will hear an id.
    pub(super) fn say(&mut self, client: usize) {
        self.expected += self.rooms[self.room(client)].members;
    }

    /// A client has heard an id, and a message's mark unless the message is its own.
    #[inline]
    pub(super) fn hear(&mut self, client: usize, id: u64, mark: Option<u64>) {
        let client = &mut self.clients[client];
        self.heard += 1;
        if id <= client.last_id {
            self.reordered += 1;
        } else {
            self.gaps += id - client.last_id - 1;
            client.last_id = id;
        }
        let marks = &mut self.rooms[client.room].marks;
        // An id that was never given would be a gap; it is not worth memory.
        let at = id.wrapping_sub(1) as usize;
        if mark.is_none() || id == 0 || id > self.expected {
            return;
        }
        if at >= marks.len() {
            marks.resize(at + 1, None);
        }
        match marks[at] {
            None => marks[at] = mark,
            known => self.differing += u64::from(known != mark),
        }
    }

    /// What was to come and did not.
    pub(super) fn missing(&self) -> u64 {
        self.expected.saturating_sub(self.heard)
    }

    /// What went wrong, beside what is missing.
    pub(super) fn flaws(&self) -> u64 {
        self.gaps + self.reordered + self.differing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_hear_in_order_has_no_flaw() {
        let mut ledger = Ledger::new(6, 2);
        for (speaker, id) in [(0, 1), (2, 2), (1, 1)] {
            ledger.say(speaker);
            for client in (0..6).filter(|client| client % 2 == speaker % 2) {
                let mark = (client != speaker).then_some(100 + id);
                ledger.hear(client, id, mark);
            }
        }
        assert_eq!((ledger.heard, ledger.missing(), ledger.flaws()), (9, 0, 0));
    }

    #[test]
    fn each_flaw_is_told_apart() {
        let mut ledger = Ledger::new(2, 1);
        (0..4).for_each(|_| ledger.say(0));
        ledger.hear(1, 1, Some(7));
        ledger.hear(1, 3, Some(9)); // 2 is missing
        assert_eq!((ledger.gaps, ledger.reordered), (1, 0));
        ledger.hear(1, 2, Some(8)); // too late
        assert_eq!((ledger.gaps, ledger.reordered), (1, 1));
        ledger.hear(0, 1, Some(6)); // another message than client 1 has heard
        assert_eq!((ledger.differing, ledger.missing()), (1, 4));
    }
}
