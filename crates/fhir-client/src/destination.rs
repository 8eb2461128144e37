//! A FHIR server as the destination of delivery: identities and Observations
//! in one.

use std::time::Duration;

use delivery::turn::not_ours;
use delivery::{Away, Destination, Pending, Reason, Resolved, SaveOutcome, Turn};
use mapping::group::MeasurementGroup;
use mapping::observation::Observation;

use crate::client::ServerAway;
use crate::identity::{Identity, Resolver, Subject, Unresolved, may_appear};
use crate::save::{Draft, Saver, Window};

/// What an error calls a server that is away.
const DEPENDENCY: &str = "the FHIR server";

/// Resolves and saves on one server, for all partitions.
#[derive(Debug)]
pub struct FhirDestination {
    /// Finds Device, Patient and Encounter.
    pub resolver: Resolver,
    /// Saves Observations.
    pub saver: Saver,
    /// How long resolving a window, and then saving it, may each take, retries
    /// included. To be well below half of the host's `functionTimeout`
    /// (design.md D5).
    pub time_limit: Duration,
}

impl Destination for FhirDestination {
    async fn resolve(
        &self,
        groups: &[&MeasurementGroup<'_>],
        turn: Turn<'_>,
    ) -> Result<Vec<Result<Resolved, Reason>>, Away> {
        let deadline = self.saver.now() + self.time_limit;
        let subjects: Vec<Subject<'_>> = groups.iter().map(|group| subject(group)).collect();
        let answers = self.resolver.resolve_all(&subjects, deadline, turn.fence).await;
        let answers = answers.map_err(|error| Away::new(DEPENDENCY, error))?;
        let settle = |answer: Result<Identity, Unresolved>| match answer {
            Ok(Identity { ids, patient_differs }) => Ok(Resolved { ids, patient_differs }),
            Err(unresolved) => Err(Reason::new(unresolved.code(), unresolved.to_string())),
        };
        Ok(answers.into_iter().map(settle).collect())
    }

    fn may_appear(&self, reason: &Reason) -> bool {
        may_appear(&reason.code)
    }

    async fn save(&self, pending: &[Pending<'_>], turn: Turn<'_>) -> Result<Vec<SaveOutcome>, Away> {
        let window = Window { turn, deadline: self.saver.now() + self.time_limit };
        self.saver.save(pending, window).await.map_err(|away| match away {
            ServerAway::NotOwner => not_ours(),
            ServerAway::OwnerUnknown(away) => away,
            away => Away::new(DEPENDENCY, away),
        })
    }
}

fn subject<'m>(group: &MeasurementGroup<'m>) -> Subject<'m> {
    Subject { device_id: group.device_id, patient_id: group.patient_id, encounter_id: group.encounter_id }
}

impl Draft for Pending<'_> {
    fn id(&self) -> &str {
        &self.identity.id
    }

    fn identifier(&self) -> &str {
        &self.identity.identifier
    }

    fn create(&self) -> Result<Observation, Reason> {
        Pending::create(self)
    }

    fn merge(&self, existing: &Observation) -> Result<Option<Observation>, Reason> {
        Pending::merge(self, existing)
    }

    fn absorb(&self, existing: &Observation, lost: &Observation) -> Result<Option<Observation>, Reason> {
        Pending::absorb(self, existing, lost)
    }
}
