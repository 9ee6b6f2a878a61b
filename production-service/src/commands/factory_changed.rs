//! Event that announces a factory to the other services.

use jaego_contracts::OutgoingEvent;
use jaego_contracts::factory::{CHANGED, FactoryChanged};
use jaego_contracts::trace::TraceContext;

use crate::domain::Factory;

/// Builds the event from the factory's state after the change.
pub(super) fn factory_changed(factory: &Factory, trace: TraceContext) -> OutgoingEvent {
    let settings = &factory.settings;
    let data = FactoryChanged {
        factory_id: factory.id.clone(),
        name: settings.name.clone(),
        enabled: settings.enabled,
        lead_time_s: settings.lead_time_s,
        lead_time_p50_s: factory.lead_time.map(|measured| measured.p50_s),
        lead_time_p90_s: factory.lead_time.map(|measured| measured.p90_s),
        callback_sources: settings.callback_sources.clone(),
        revision: factory.revision,
    };
    OutgoingEvent::new(&CHANGED, "production-service", factory.id.as_str(), trace, &data)
}
