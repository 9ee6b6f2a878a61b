import { useTranslation } from "react-i18next";
import { isService, SERVICES, type Service } from "../../api";
import { useDocumentTitle } from "../../title";
import { FilterSelect, Filters, PageHead, Section } from "../../ui/parts";
import { useFilters } from "../../ui/To";
import { Groups } from "./Groups";
import { JobProgress } from "./JobProgress";
import { Letters } from "./Letters";

/** Dead letters: their cause, their content, and the actions to redrive or discard them. */
export function DeadLetters() {
  const { t } = useTranslation("console");
  const { search, set } = useFilters();
  useDocumentTitle(t("nav.deadLetters"));
  const chosen = isService(search.service) ? search.service : undefined;
  const services: readonly Service[] = chosen ? [chosen] : SERVICES;
  const { job, group, status } = search;
  return (
    <>
      <PageHead title={t("nav.deadLetters")} intro={t("deadLetters.intro")} />
      {chosen && job && (
        <JobProgress key={job} service={chosen} id={job} onClose={() => set({ job: undefined })} />
      )}
      <Filters>
        <FilterSelect
          label={t("field.service")}
          group="service"
          value={chosen}
          options={SERVICES}
          onChange={(service) => set({ service, group: undefined, job: undefined })}
        />
      </Filters>
      {services.map((service) => (
        <Section key={service} title={t("deadLetters.groupsOf", { service: t(`service.${service}`) })}>
          <Groups service={service} />
        </Section>
      ))}
      {chosen && (
        <Section title={group ? t("deadLetters.lettersOfGroup") : t("deadLetters.letters")}>
          <Letters service={chosen} group={group} status={status} />
        </Section>
      )}
    </>
  );
}
