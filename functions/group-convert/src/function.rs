//! Group-convert as a function: the mapping in use, the FHIR server, the dead
//! letters.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use azure::MappingBlob;
use custom_handler::{Answer, Handler, HandlerError, Invocation};
use delivery::away::error_chain;
use delivery::{Converter, CurrentMapping, EitherSource, Tally};
use expressions::UtcTime;
use fhir_client::auth::{CachedTokens, ClientCredentials, TokenSource};
use fhir_client::client::Client;
use fhir_client::destination::FhirDestination;
use fhir_client::identity::Resolver;
use fhir_client::save::Saver;
use folder::{DeadLetterFolder, MappingFile};
use mapping::{Compatibility, FhirMapping};

use crate::settings::{FhirAccess, Settings};

/// What all invocations share.
#[derive(Debug)]
pub struct GroupConvert {
    mapping: CurrentMapping<EitherSource<MappingFile, MappingBlob>, FhirMapping>,
    converter: Converter<FhirDestination, DeadLetterFolder>,
}

impl GroupConvert {
    /// Opens nothing yet: the server and the mapping are reached with the first
    /// batch, so that a dependency that is away does not keep the handler from
    /// starting.
    pub fn new(settings: Settings) -> anyhow::Result<GroupConvert> {
        let compatibility = settings.compatibility;
        let mapping = CurrentMapping::new(settings.mapping, move |text| compile(text, &compatibility));
        let tokens = tokens(settings.fhir_access)?;
        let client = Client::new(settings.fhir, tokens).context("cannot make an HTTP client")?;
        let client = Arc::new(client);
        let destination = FhirDestination {
            resolver: Resolver::new(client.clone(), settings.identity),
            saver: Saver::new(client, settings.save),
            time_limit: settings.fhir_time_limit,
        };
        let dead_letters = DeadLetterFolder::new(settings.dead_letters);
        Ok(GroupConvert { mapping, converter: Converter::new(destination, dead_letters, compatibility) })
    }
}

impl Handler for GroupConvert {
    async fn handle(&self, invocation: Invocation) -> Result<Answer, HandlerError> {
        let batch = invocation.batch();
        let (mapping, notice) = self.mapping.get().await.map_err(|error| HandlerError(error_chain(&error)))?;
        notice.log("FHIR mapping");
        let conversion = self.converter.convert(&mapping, &batch, UtcTime::from(SystemTime::now())).await;
        let conversion = conversion.map_err(|away| HandlerError(error_chain(&away)))?;
        let tally = Tally::of_measurements(conversion.fates());
        tracing::info!(
            partition = batch.source.partition,
            measurements = tally.measurements,
            created = tally.created,
            merged = tally.merged,
            unchanged = tally.unchanged,
            superseded = tally.superseded,
            rejected = tally.rejected,
            "Converted a batch"
        );
        Ok(Answer::of_measurements(&conversion.events))
    }
}

fn compile(text: &[u8], compatibility: &Compatibility) -> Result<FhirMapping, String> {
    FhirMapping::load(text, compatibility).map_err(|findings| findings.to_string())
}
