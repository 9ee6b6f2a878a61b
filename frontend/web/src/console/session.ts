/**
 * The operator's session. The token is sent to the server once and is never stored here: the session is a cookie that
 * scripts cannot read.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { requestJson } from "../common/api/http";
import { ProblemError } from "../common/api/problem";

export interface Operator {
  name: string;
  role: "viewer" | "operator";
}

interface Session {
  operator: Operator | null;
}

export interface Settings {
  console: boolean;
  demo: boolean;
  /** Name of the identity provider at which people sign in; null if there is none. */
  provider: string | null;
  version: string;
}

const SESSION = ["session"];

export function useSession() {
  return useQuery({ queryKey: SESSION, queryFn: () => requestJson<Session>("/session"), staleTime: 60_000 });
}

/** True when the signed-in user may make changes. */
export function useIsOperator(): boolean {
  return useSession().data?.operator?.role === "operator";
}

export function useSettings() {
  return useQuery({
    queryKey: ["settings"],
    queryFn: () => requestJson<Settings>("/settings.json"),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

export function useSignIn() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (token: string) => requestJson<Session>("/session", "POST", { token }),
    onSuccess: (session) => client.setQueryData(SESSION, session),
  });
}

/** Begins a sign-in at the identity provider, and goes there. */
export function useProviderSignIn() {
  return useMutation({
    mutationFn: () => requestJson<{ url: string }>("/session/provider", "POST"),
    onSuccess: ({ url }) => location.assign(url),
  });
}

export function useSignOut() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => requestJson<void>("/session", "DELETE"),
    onSuccess: () => {
      client.setQueryData<Session>(SESSION, { operator: null });
      // The next user must not see the cached data of the previous operator.
      client.removeQueries({
        predicate: ({ queryKey }) => !["settings", SESSION[0]].includes(String(queryKey[0])),
      });
    },
  });
}

const isSignedOut = (error: unknown) => error instanceof ProblemError && error.status === 401;

/** An expired session shows as a 401 of any request; the session is then fetched again. */
export function useSessionWatch(): void {
  const client = useQueryClient();
  useEffect(() => {
    const ask = () => void client.invalidateQueries({ queryKey: SESSION });
    const ofQueries = client.getQueryCache().subscribe((event) => {
      if (event.type === "updated" && event.action.type === "error" && isSignedOut(event.action.error)) ask();
    });
    const ofMutations = client.getMutationCache().subscribe((event) => {
      if (event.type !== "updated" || event.action.type !== "error") return;
      // A wrong token at the sign-in is not an expired session.
      const wasSignedIn = client.getQueryData<Session>(SESSION)?.operator;
      if (wasSignedIn && isSignedOut(event.action.error)) ask();
    });
    return () => {
      ofQueries();
      ofMutations();
    };
  }, [client]);
}
