import { cleanup, configure } from "@testing-library/react";
import { afterEach } from "vitest";

// Pages are imported when they are first shown, which takes seconds while other files are tested beside this one: only a
// broken page takes longer than this.
configure({ asyncUtilTimeout: 60_000 });

afterEach(() => {
  cleanup();
  localStorage.clear();
});
