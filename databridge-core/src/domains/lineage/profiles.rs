//! Profiles: what a line of business brings along as data, its lot types, its flow
//! with gates, its scenario. Installed, the flow is a draft like any other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::Service;
use super::flows::{NewFlow, VersionDetail, draft};
use super::scenarios::{Scenario, define};
use super::schema::Schema;
use super::service::none;
use super::state::Permission;
use crate::base::error::Error as AnyError;
use crate::control::ctx::Ctx;

/// A line of business.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `food`, `vfx`.
    pub name: String,
    /// What people read.
    pub title: String,
    /// The types of its lots; each type belongs to one profile.
    pub lot_types: Vec<LotType>,
    /// What a delivered transfer of a category is.
    #[serde(default)]
    pub categories: BTreeMap<String, String>,
    /// What a delivered transfer of any other category is.
    #[serde(default)]
    pub delivered_type: Option<String>,
    /// Its flow.
    pub graph_schema: Schema,
    /// Its lanes.
    pub scenario: Scenario,
}

/// A type of lot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LotType {
    /// Stable.
    pub key: String,
    /// What people read.
    pub name: String,
    /// Accepted, and no longer used for what is new.
    #[serde(default)]
    pub legacy: bool,
}

/// A test reads each, so none is ever left out.
static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    [include_str!("profiles/food.json"), include_str!("profiles/vfx.json")]
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
});

/// Every profile.
pub fn all() -> &'static [Profile] {
    &PROFILES
}

/// Every lot type there is.
pub fn lot_types() -> impl Iterator<Item = &'static str> {
    all().iter().flat_map(|p| p.lot_types.iter().map(|t| t.key.as_str()))
}

/// The type of lot that a transfer of a category becomes once it is delivered.
pub(super) fn delivered(category: &str) -> Option<&'static str> {
    let category = category.to_lowercase();
    all().iter().find_map(|p| {
        let usual = p.delivered_type.as_deref()?;
        Some(p.categories.get(&category).map_or(usual, String::as_str))
    })
}

impl Service {
    /// The profiles there are.
    ///
    /// # Errors
    /// Not permitted.
    pub fn profiles(&self, ctx: &Ctx) -> Result<&'static [Profile], AnyError> {
        ctx.require(super::state::MATRIX, Permission::ViewLots, None)?;
        Ok(all())
    }

    /// Writes a profile's scenario and the next draft of its flow, under its name.
    ///
    /// # Errors
    /// [`super::Error::NotFound`], not permitted.
    pub async fn install(&self, ctx: &Ctx, name: &str) -> Result<VersionDetail, AnyError> {
        let mut unit = self.begin(ctx, Permission::DesignFlow).await?;
        let profile = all().iter().find(|p| p.name == name).ok_or_else(|| none("profile", name))?;
        define(&mut unit, profile.scenario.clone()).await?;
        let graph_schema = Some(profile.graph_schema.clone());
        let version = draft(&mut unit, NewFlow { name: name.to_owned(), graph_schema }).await?;
        let detail = version.detail(ctx);
        unit.commit(detail).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_food_line_has_the_types_of_the_document() {
        // Typed from the source document.
        let typed = [
            "RAW", "DEB", "BULK", "MIX", "SKW", "FRZ", "FG", "SKW15", "SKW30", "FRZ15", "FRZ30",
            "FG15", "FG30", "PAL", "SHIP",
        ];
        let food = all().iter().find(|p| p.name == "food");
        let types: Vec<_> =
            food.into_iter().flat_map(|p| &p.lot_types).map(|t| t.key.as_str()).collect();
        assert_eq!(types, typed);
        let legacy: Vec<_> = food
            .into_iter()
            .flat_map(|p| &p.lot_types)
            .filter(|t| t.legacy)
            .map(|t| t.key.as_str())
            .collect();
        assert_eq!(legacy, ["SKW", "FRZ", "FG"]);
        // Four buffer lanes and a stepper of seven gates.
        assert_eq!(food.map(|p| p.scenario.streams.len()), Some(4));
        assert_eq!(food.map(|p| p.graph_schema.gates.len()), Some(7));
    }

    #[test]
    fn every_profile_can_be_installed_and_shares_no_type() {
        assert_eq!(all().len(), 2);
        for profile in all() {
            assert!(profile.graph_schema.check().is_ok(), "{}", profile.name);
        }
        let mut types: Vec<_> = lot_types().collect();
        let count = types.len();
        types.sort_unstable();
        types.dedup();
        assert_eq!((types.len(), count), (21, 21));
    }

    #[test]
    fn a_delivery_is_what_its_category_says() {
        assert_eq!(delivered("plates"), Some("PLATE"));
        assert_eq!(delivered("Cache"), Some("CACHE"));
        assert_eq!(delivered("anything"), Some("DELIVERY"));
    }
}
