import { useSyncExternalStore } from "react";
import { checkout } from "./checkout";
import type { Submission } from "./submission";

export function useSubmission(): Submission {
  return useSyncExternalStore(checkout.subscribe, checkout.get);
}
