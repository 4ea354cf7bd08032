// Everything that Goldroll needs, in a resource group of its own. docs/deploying.md explains each parameter.
targetScope = 'subscription'

@description('Tells several Goldrolls apart, for instance prod and test; part of every name.')
@minLength(2)
@maxLength(12)
param environmentName string

param location string

@description('The gallery whose image versions are rolled out.')
param gallery { subscriptionId: string, resourceGroup: string, name: string }

@description('Name of the system topic that the gallery\'s resource group has already; empty: one is made.')
param existingSystemTopic string = ''

@description('The policy file: its path in the package, or the address of a blob that the app may read.')
param policyFile string = 'goldroll.yaml'

@description('Roles of the app in resource groups of host pools, session hosts, galleries and networks.')
param roleAssignments { subscriptionId: string, resourceGroup: string, roleDefinitionIds: string[] }[] = []

@description('Roles of the app in whole subscriptions.')
param subscriptionRoleAssignments { subscriptionId: string, roleDefinitionIds: string[] }[] = []

@description('Client id of the app registration whose users may sign in; empty: callers need a function key.')
param authClientId string = ''

@description('Storage answers in a private network only, and the app calls out through it.')
param privateNetworking bool = false

param networkAddressPrefix string = '10.90.0.0/24'

@description('Make an Event Grid topic that lifecycle events are published to.')
param notificationTopic bool = false

@description('The webhook that lifecycle events are posted to: the Key Vault secret that holds its address, how, and which.')
param webhook {
  secretUri: string
  format: 'cloudevents' | 'teams' | 'slack'
  severity: 'info' | 'warning' | 'error'
} = { secretUri: '', format: 'cloudevents', severity: 'info' }

@description('Where the app sends its own metrics, spans and structured lines: to Application Insights, or nowhere.')
param telemetry 'azure' | 'off' = 'azure'

@description('Addresses that alerts are mailed to.')
param alertEmails string[] = []

param settings {
  pythonVersion: string
  instanceMemory: 512 | 2048 | 4096
  maximumInstances: int
  storageSku: 'Standard_LRS' | 'Standard_ZRS'
  logDays: int
  logLimitGb: int
  viewSeconds: int
} = {
  pythonVersion: '3.12'
  instanceMemory: 2048
  maximumInstances: 40
  storageSku: 'Standard_ZRS'
  logDays: 31
  logLimitGb: 1
  viewSeconds: 30
}

@description('When the app looks for missed versions and due schedules, and when it retires versions: NCRONTAB, in UTC.')
param sweepSchedule string = '0 */15 * * * *'

param retirementSchedule string = '0 30 3 * * *'

var prefix = 'goldroll-${environmentName}'
var token = uniqueString(subscription().id, environmentName, location)
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-07-01' = {
  name: prefix
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  scope: group
  params: { name: prefix, location: location, tags: tags }
}

module storage 'modules/storage.bicep' = {
  scope: group
  params: {
    name: 'goldroll${token}'
    location: location
    tags: tags
    publicAccess: !privateNetworking
    sku: settings.storageSku
  }
}

module network 'modules/private_network.bicep' = if (privateNetworking) {
  scope: group
  params: {
    name: prefix
    location: location
    tags: tags
    addressPrefix: networkAddressPrefix
    storageId: storage.outputs.id
  }
}

module appAccess 'modules/storage_access.bicep' = {
  scope: group
  params: {
    accountName: storage.outputs.name
    principalId: identity.outputs.principalId
    roles: ['blobOwner', 'queueContributor', 'tableContributor']
  }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: prefix
    componentName: prefix
    location: location
    tags: tags
    retentionDays: settings.logDays
    dailyLimitGb: settings.logLimitGb
    principalId: identity.outputs.principalId
  }
}

module topic 'modules/notification_topic.bicep' = if (notificationTopic) {
  scope: group
  params: {
    name: '${prefix}-${token}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
}

module app 'modules/function_app.bicep' = {
  scope: group
  // The host starts with the settings below: its identity must be able to read storage by then.
  dependsOn: [appAccess]
  params: {
    name: '${prefix}-${token}'
    planName: prefix
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storage.outputs.name
    packagesUrl: storage.outputs.packagesUrl
    pythonVersion: settings.pythonVersion
    instanceMemory: settings.instanceMemory
    maximumInstances: settings.maximumInstances
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    appSettings: {
      GOLDROLL_POLICY: policyFile
      GOLDROLL_CLOUD: environment().name
      GOLDROLL_ARM_ENDPOINT: ''
      GOLDROLL_RECORD: storage.outputs.tableUrl
      GOLDROLL_TOPIC: notificationTopic ? topic!.outputs.endpoint : ''
      // The host resolves the reference by the app's identity: the address itself stands in no deployment.
      GOLDROLL_WEBHOOK: empty(webhook.secretUri) ? '' : '@Microsoft.KeyVault(SecretUri=${webhook.secretUri})'
      GOLDROLL_WEBHOOK_FORMAT: webhook.format
      GOLDROLL_WEBHOOK_SEVERITY: webhook.severity
      GOLDROLL_URL: ''
      GOLDROLL_TELEMETRY: telemetry
      GOLDROLL_VIEW_SECONDS: string(settings.viewSeconds)
      GOLDROLL_SWEEP_SCHEDULE: sweepSchedule
      GOLDROLL_RETIREMENT_SCHEDULE: retirementSchedule
      APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
    }
  }
}

module authentication 'modules/authentication.bicep' = if (!empty(authClientId)) {
  scope: group
  params: { appName: app.outputs.name, clientId: authClientId }
}

module diagnostics 'modules/diagnostics.bicep' = {
  scope: group
  params: { appName: app.outputs.name, storageName: storage.outputs.name, workspaceId: monitoring.outputs.workspaceId }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  params: {
    namePrefix: prefix
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    emails: alertEmails
  }
}

module workbook 'modules/workbook.bicep' = {
  scope: group
  params: { location: location, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

module images 'modules/image_events.bicep' = {
  scope: resourceGroup(gallery.subscriptionId, gallery.resourceGroup)
  params: {
    topicName: empty(existingSystemTopic) ? prefix : existingSystemTopic
    exists: !empty(existingSystemTopic)
    tags: tags
    alertName: '${prefix}-dead-letters'
    actionGroupId: alerts.outputs.actionGroupId
  }
}

module deadLetterAccess 'modules/storage_access.bicep' = {
  scope: group
  params: { accountName: storage.outputs.name, principalId: images.outputs.principalId, roles: ['blobContributor'] }
}

module access 'modules/role_assignments.bicep' = [for given in roleAssignments: {
  scope: resourceGroup(given.subscriptionId, given.resourceGroup)
  params: { principalId: identity.outputs.principalId, roleDefinitionIds: given.roleDefinitionIds }
}]

module subscriptionAccess 'modules/role_assignments_subscription.bicep' = [for given in subscriptionRoleAssignments: {
  scope: subscription(given.subscriptionId)
  params: { principalId: identity.outputs.principalId, roleDefinitionIds: given.roleDefinitionIds }
}]

output AZURE_RESOURCE_GROUP string = group.name
output GOLDROLL_URL string = app.outputs.url
output GOLDROLL_APP_NAME string = app.outputs.name
output GOLDROLL_APP_ID string = app.outputs.id
output GOLDROLL_PRINCIPAL_ID string = identity.outputs.principalId
output GOLDROLL_TOPIC_ID string = notificationTopic ? topic!.outputs.id : ''
output GOLDROLL_STORAGE_ID string = storage.outputs.id
output GOLDROLL_DEAD_LETTERS string = storage.outputs.deadLetterContainer
output GOLDROLL_GALLERY_SUBSCRIPTION string = gallery.subscriptionId
output GOLDROLL_GALLERY_GROUP string = gallery.resourceGroup
output GOLDROLL_GALLERY string = gallery.name
output GOLDROLL_SYSTEM_TOPIC string = images.outputs.name
