//! An operator adds or changes a product.

use diesel_async::AsyncConnection;
use jaego_web::IfMatch;
use jaego_web::problem::Problem;

use super::{Asked, Context, Refused};
use crate::store::StoreError;
use crate::store::{products, stock};

pub use crate::domain::policy::{Mode, Policy, Shortage};
pub use crate::store::products::{Product, ProductRow};

pub struct Put {
    pub row: ProductRow,
    pub is_new: bool,
}

/// Adds the product with nothing on hand, or changes it. Stock is not touched.
pub async fn put_product(
    context: &Context,
    product: Product,
    if_match: IfMatch,
    asked: Asked<'_>,
) -> Result<Put, Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let put = connection
        .transaction(async move |connection| {
            let added = products::insert(connection, &product).await?;
            let is_new = added.is_some();
            let row = if let Some(added) = added {
                if_match.check(None)?;
                added
            } else {
                let before = products::lock(connection, &product.sku).await?;
                if_match.check(Some(before.version))?;
                if before.factory_id != product.factory_id.as_str() {
                    // The refusals came from the previous factory, not from this one.
                    stock::forget_refusals(connection, &product.sku).await?;
                }
                products::update(connection, &before, &product).await?
            };
            asked.record(connection, "product.put", product.sku.as_str()).await?;
            Ok::<_, Refused>(Put { row, is_new })
        })
        .await?;
    Ok(put)
}
