//! The groups as a core keeps them: its own members of any group, and of the groups that were made
//! here which cores have members.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::address::ServiceId;

/// What a core knows of groups, by their number.
#[derive(Default)]
pub(super) struct Groups {
    /// Groups made on this core so far.
    pub(super) made: Cell<u64>,
    /// Of groups made here: the cores that have members.
    pub(super) cores: RefCell<BTreeMap<u64, BTreeSet<usize>>>,
    /// The members on this core: each a `Members<T>`.
    members: RefCell<BTreeMap<u64, Box<dyn Any>>>,
}

/// One member: how it is given a value, and what it has to undo at its end.
pub(super) struct Member<T> {
    pub(super) give: Rc<dyn Fn(T)>,
    pub(super) at_end: usize,
}

impl<T> Clone for Member<T> {
    fn clone(&self) -> Member<T> {
        Member { give: self.give.clone(), at_end: self.at_end }
    }
}

/// The members of a group on one core. Copied only when they change while a value is given out.
type Members<T> = Rc<BTreeMap<ServiceId, Member<T>>>;

impl Groups {
    /// The members now; `None` when there are none.
    pub(super) fn members<T: 'static>(&self, group: u64) -> Option<Members<T>> {
        let members = self.members.borrow();
        members.get(&group)?.downcast_ref::<Members<T>>().cloned()
    }

    /// Adds a member. Returns the one of that name before, and whether it is the first here.
    pub(super) fn add<T: 'static>(
        &self,
        group: u64,
        id: ServiceId,
        member: Member<T>,
    ) -> (Option<Member<T>>, bool) {
        let mut groups = self.members.borrow_mut();
        let first = !groups.contains_key(&group);
        let members = groups.entry(group).or_insert_with(|| Box::new(Members::<T>::default()));
        let members = members.downcast_mut::<Members<T>>().expect("a group has one type");
        (Rc::make_mut(members).insert(id, member), first)
    }

    /// Takes a member out. Returns it, and whether it was the last here.
    pub(super) fn remove<T: 'static>(
        &self,
        group: u64,
        id: ServiceId,
    ) -> (Option<Member<T>>, bool) {
        let mut groups = self.members.borrow_mut();
        let Some(members) = groups.get_mut(&group) else { return (None, false) };
        let members = members.downcast_mut::<Members<T>>().expect("a group has one type");
        let member = Rc::make_mut(members).remove(&id);
        let last = members.is_empty() && member.is_some();
        let gone = if last { groups.remove(&group) } else { None };
        drop(groups);
        drop(gone); // outside of the borrow
        (member, last)
    }
}
