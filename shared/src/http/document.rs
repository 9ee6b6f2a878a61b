//! What every service's OpenAPI document begins with.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

/// Title, description, licence, and the operators' bearer tokens as the security scheme `operator`.
pub fn document(title: &str, description: &str) -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title(title)
                .description(Some(description))
                .version(env!("CARGO_PKG_VERSION"))
                .license(Some(license))
                .build(),
        )
        .components(Some(ComponentsBuilder::new().security_scheme("operator", bearer).build()))
        .build()
}
