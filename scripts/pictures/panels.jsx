// Draws panels of a dashboard with Perses' components. The page around this says what, as `drawn`:
//   { prometheus: URL, start: ms, end: ms, caption, rows: [{ title, panels: [{ title, kind, width, height, unit, queries }] }] }
// A query is { query, legend }; kind is stat or timeseries, width and height are those of Grafana's grid of 24 columns.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { ThemeProvider } from '@mui/material';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { ChartsProvider, SnackbarProvider, generateChartsTheme, getTheme } from '@perses-dev/components';
import { DatasourceStoreProvider, Panel, VariableProvider } from '@perses-dev/dashboards';
import { DataQueriesProvider, PluginRegistry, TimeRangeProvider, dynamicImportPluginLoader } from '@perses-dev/plugin-system';
import * as prometheus from '@perses-dev/prometheus-plugin';
import * as stat from '@perses-dev/stat-chart-plugin';
import * as timeseries from '@perses-dev/timeseries-chart-plugin';

const { drawn } = window;
const ROW = 34; // pixels of one row of the grid

const theme = getTheme('light');
const charts = generateChartsTheme(theme, { echartsTheme: {} });
const client = new QueryClient({ defaultOptions: { queries: { refetchOnWindowFocus: false, retry: 0 } } });
const plugins = dynamicImportPluginLoader(
  [prometheus, stat, timeseries].map((plugin) => ({
    resource: plugin.getPluginModule(),
    importPlugin: () => Promise.resolve(plugin),
  }))
);

// One datasource, which is the default.
const datasource = {
  kind: 'GlobalDatasource',
  metadata: { name: 'prometheus' },
  spec: {
    default: true,
    plugin: { kind: 'PrometheusDatasource', spec: { directUrl: drawn.prometheus, scrapeInterval: '2s' } },
  },
};
const datasources = {
  getDatasource: async () => undefined,
  getGlobalDatasource: async () => datasource,
  listDatasources: async () => [],
  listGlobalDatasources: async () => [datasource],
  buildProxyUrl: () => '',
};
const dashboard = { kind: 'Dashboard', metadata: { name: 'pictures', project: 'pictures' }, spec: {} };

// Grafana's units by Perses' names.
const UNITS = {
  percentunit: { unit: 'percent-decimal', decimalPlaces: 1 },
  bytes: { unit: 'bytes' },
  binBps: { unit: 'bytes/sec' },
  s: { unit: 'seconds' },
  cps: { unit: 'counts/sec' },
  iops: { unit: 'ops/sec' },
  pps: { unit: 'packets/sec' },
};

function plugin({ kind, unit, queries }) {
  const format = UNITS[unit] ?? { unit: 'decimal' };
  if (kind === 'stat') {
    // A name in place of the number, where the legend is a label's.
    const label = /^\{\{(\w+)\}\}/.exec(queries[0].legend)?.[1];
    return { kind: 'StatChart', spec: { calculation: 'last', format, ...(label && { metricLabel: label }) } };
  }
  return {
    kind: 'TimeSeriesChart',
    spec: { yAxis: { format, min: 0 }, legend: { position: 'bottom', mode: 'list' }, visual: { connectNulls: false } },
  };
}

function One({ panel }) {
  const definitions = panel.queries.map(({ query, legend }) => ({
    kind: 'PrometheusTimeSeriesQuery',
    spec: { query, minStep: '2s', ...(legend && { seriesNameFormat: legend }) },
  }));
  const definition = { kind: 'Panel', spec: { display: { name: panel.title }, plugin: plugin(panel) } };
  return (
    <div style={{ gridColumn: `span ${panel.width}`, height: panel.height * ROW }}>
      <DataQueriesProvider definitions={definitions}>
        <Panel definition={definition} />
      </DataQueriesProvider>
    </div>
  );
}

function All() {
  const grid = { display: 'grid', gridTemplateColumns: 'repeat(24, 1fr)', gap: 6 };
  return drawn.rows.map(({ title, panels }) => (
    <section key={title}>
      <h4 style={{ margin: '8px 0 4px' }}>{title}</h4>
      <div style={grid}>
        {panels.map((panel, at) => (
          <One key={at} panel={panel} />
        ))}
      </div>
    </section>
  ));
}

createRoot(document.getElementById('root')).render(
  <ThemeProvider theme={theme}>
    <ChartsProvider chartsTheme={charts}>
      <SnackbarProvider>
        <QueryClientProvider client={client}>
          <PluginRegistry pluginLoader={plugins}>
            <TimeRangeProvider timeRange={{ start: new Date(drawn.start), end: new Date(drawn.end) }}>
              <VariableProvider>
                <DatasourceStoreProvider dashboardResource={dashboard} datasourceApi={datasources}>
                  <div style={{ width: 1200, background: '#f4f5f5', padding: 6, fontFamily: 'sans-serif' }}>
                    <All />
                    <p style={{ fontSize: 12, margin: '8px 0 0' }}>{drawn.caption}</p>
                  </div>
                </DatasourceStoreProvider>
              </VariableProvider>
            </TimeRangeProvider>
          </PluginRegistry>
        </QueryClientProvider>
      </SnackbarProvider>
    </ChartsProvider>
  </ThemeProvider>
);
