//! Who is called what. One service decides for the whole engine, so two who want the same name at
//! the same moment, from two cores, cannot both get it.

use std::collections::HashMap;
use std::sync::Arc;

use super::hub::ToHub;
use super::name::Name;
use crate::prelude::*;
use crate::service::{Down, NameError, ServiceId};

const NAMES: &str = "chat.names";

/// The registry of names.
#[derive(Default)]
pub struct Names {
    /// By the name as it is compared.
    people: HashMap<Box<str>, Person>,
    /// Of each person's agent, the name as it is compared.
    agents: HashMap<ServiceId, Box<str>>,
    guests: u64,
}

/// Where somebody is.
#[derive(Clone, Debug)]
pub struct Person {
    /// The name as it is shown.
    pub name: Arc<str>,
    /// Who serves the person.
    pub agent: ServiceId,
    /// Where what is for the person goes.
    pub hub: Address<ToHub>,
}

/// What the registry is asked. A name is free when its agent ends.
pub enum ToNames {
    /// A newcomer wants to be called something.
    Guest(ServiceId, Address<ToHub>, Reply<Arc<str>>),
    /// The person of this agent wants to be called so; `false` when another one is.
    Take(ServiceId, Name, Reply<bool>),
    /// Who is called so?
    Find(Name, Reply<Option<Person>>),
}

/// The registry of this engine.
pub(super) async fn names() -> Result<Address<ToNames>, NameError> {
    match service::find(NAMES) {
        Some(found) => Ok(found),
        None => service::unique(NAMES, Names::default).await,
    }
}

impl Names {
    fn enter(&mut self, name: &Name, agent: ServiceId, hub: Address<ToHub>) {
        let person = Person { name: name.shown().clone(), agent, hub };
        self.people.insert(name.folded().into(), person);
        if let Some(before) = self.agents.insert(agent, name.folded().into())
            && *before != *name.folded()
        {
            self.people.remove(&before);
        }
    }

    fn guest(&mut self, agent: ServiceId, hub: Address<ToHub>) -> Arc<str> {
        // Nobody can choose such a name, so it is free.
        self.guests += 1;
        let name = Name::guest(self.guests);
        self.enter(&name, agent, hub);
        name.shown().clone()
    }

    fn take(&mut self, agent: ServiceId, name: &Name) -> bool {
        let before = self.agents.get(&agent).and_then(|name| self.people.get(name));
        let Some(hub) = before.map(|person| person.hub) else { return false };
        let is_free = self.people.get(name.folded()).is_none_or(|other| other.agent == agent);
        if is_free {
            self.enter(name, agent, hub);
        }
        is_free
    }
}

impl Service for Names {
    type Message = ToNames;

    async fn handle(&mut self, message: ToNames, cx: &Context<Self>) -> Result<()> {
        match message {
            ToNames::Guest(agent, hub, reply) => {
                cx.watch(agent);
                reply.send(self.guest(agent, hub));
            }
            ToNames::Take(agent, name, reply) => reply.send(self.take(agent, &name)),
            ToNames::Find(name, reply) => reply.send(self.people.get(name.folded()).cloned()),
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, _: &Context<Self>) -> Result<()> {
        if let Some(name) = self.agents.remove(&down.service) {
            self.people.remove(&name);
        }
        Ok(())
    }
}
