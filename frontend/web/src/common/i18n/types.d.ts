import type console from "../../console/i18n/en.json";
import type shop from "../../shop/i18n/en.json";
import type common from "./en.json";

// A key that does not exist does not compile.
declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "common";
    resources: { common: typeof common; shop: typeof shop; console: typeof console };
  }
}
