// Where logs and traces go: a Log Analytics workspace and the Application Insights resource on top of it.

param workspaceName string

param componentName string

param location string

param tags object

@description('Days for which logs are kept. The first 31 are free of charge.')
@minValue(30)
@maxValue(730)
param retentionDays int

@description('GB a day after which the workspace takes no more logs until midnight UTC; -1 for no limit.')
param dailyLimitGb int

@description('Object id of the identity that sends telemetry.')
param principalId string

var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

resource workspace 'Microsoft.OperationalInsights/workspaces@2022-10-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyLimitGb }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true
  }
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, principalId, monitoringMetricsPublisher)
  scope: component
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
  }
}

output workspaceId string = workspace.id
output componentId string = component.id
// Not a secret here: local authentication is off, so sending needs the identity as well.
output connectionString string = component.properties.ConnectionString
