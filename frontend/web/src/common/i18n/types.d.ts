import type console from "../../console/i18n/en.json";
import type shop from "../../shop/i18n/en.json";
import type common from "./en.json";

// Makes a key that does not exist a compile error.
declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "common";
    resources: { common: typeof common; shop: typeof shop; console: typeof console };
  }
}
